"""Drawings of the network: overview, the module of one scale, column and row attention."""

from __future__ import annotations

from svg import AFTER, ATTENTION, BEFORE, CHANGE, INK, MUTED, NEUTRAL, Drawing

CHANNELS = (40, 80, 160, 320)


def overview() -> str:
    """Two images through the shared encoder, a HAN module a scale, the top-down path and the
    head."""
    drawing = Drawing(
        960, 560, "HANet: shared encoder, four HAN modules, top-down concatenation, head"
    )
    for x, title in (
        (40, "dates"),
        (170, "encoder, one for both dates"),
        (445, "HAN modules"),
        (640, "top-down"),
        (830, "head"),
    ):
        drawing.text(x, 34, title, size=14, bold=True)
    drawing.box(30, 70, 90, 62, "before", "3 x H x W", fill=BEFORE)
    drawing.box(30, 160, 90, 62, "after", "3 x H x W", fill=AFTER)
    drawing.arrow((120, 101), (168, 101))
    drawing.arrow((120, 191), (145, 191), (145, 112), (168, 112))
    for scale, channels in enumerate(CHANNELS):
        _scale(drawing, scale, channels)
    drawing.box(820, 62, 120, 52, "conv 1x1", "600 to 80", fill=NEUTRAL)
    drawing.box(820, 152, 120, 52, "conv 3x3", "80 to 2", fill=NEUTRAL)
    drawing.box(820, 242, 120, 52, "logits", "2 x H x W", fill=CHANGE)
    drawing.arrow((785, 88), (818, 88))
    drawing.arrow((880, 114), (880, 150))
    drawing.arrow((880, 204), (880, 240))
    drawing.text(
        30,
        528,
        "Between scales the encoder averages 2x2 pixels (halves height and width); going up, "
        "features are doubled bilinearly and",
        size=12,
        colour=MUTED,
    )
    drawing.text(
        30,
        546,
        "concatenated with those of the next scale: 40 + 80 + 160 + 320 = 600 channels reach the "
        "head.",
        size=12,
        colour=MUTED,
    )
    return drawing.to_svg()


def _scale(drawing: Drawing, scale: int, channels: int) -> None:
    y = 62 + scale * 120
    width = 220 - 34 * scale
    size = "H x W" if scale == 0 else f"H/{2**scale} x W/{2**scale}"
    for offset, fill in ((8, AFTER), (0, BEFORE)):
        drawing.rect(170 + offset, y + offset, width, 52, fill=fill, radius=5)
    label = "stem 5x5, block 1" if scale == 0 else f"block {scale + 1}"
    drawing.text(170 + width / 2, y + 22, label, bold=True, anchor="middle")
    drawing.text(170 + width / 2, y + 40, f"{channels} x {size}", size=12, anchor="middle")
    drawing.arrow((178 + width, y + 30), (443, y + 30))
    drawing.box(
        445, y, 130, 60, f"HAN {scale + 1}", f"{2 * channels} to {channels}", fill=ATTENTION
    )
    drawing.arrow((575, y + 30), (638, y + 30))
    total = sum(CHANNELS[scale:])
    drawing.box(
        640,
        y,
        145,
        60,
        f"c{scale + 1}: {total} channels",
        "= HAN 4" if scale == 3 else f"HAN {scale + 1} + up(c{scale + 2})",
        fill=NEUTRAL,
    )
    if scale < 3:
        drawing.arrow((190, y + 60), (190, y + 118))
        drawing.text(198, y + 96, "average 2x2", size=11, colour=MUTED)
        drawing.arrow((712, y + 120), (712, y + 62))
        drawing.text(720, y + 96, "up x2", size=11, colour=MUTED)


def module() -> str:
    """What happens at one scale: PCS, then channel attention beside column-row attention."""
    drawing = Drawing(
        960,
        470,
        "The HAN module: parallel convolutions, then channel attention beside column and row "
        "attention, summed",
    )
    drawing.box(20, 205, 110, 60, "before, after", "2C channels", fill=BEFORE)
    drawing.text(175, 34, "parallel convolutions (PCS)", size=14, bold=True)
    for index, dilation in enumerate((1, 2, 3, 4)):
        y = 56 + index * 96
        drawing.arrow((130, 235), (150, 235), (150, y + 40), (173, y + 40))
        drawing.rect(175, y, 196, 80, fill=NEUTRAL, radius=5)
        drawing.text(258, y + 34, f"3x3, dilation {dilation}", bold=True, size=12)
        drawing.text(258, y + 52, "2C to C", size=11)
        drawing.text(258, y + 67, "in groups 4 to 2", size=11)
        _kernel(drawing, 182, y + 6, dilation)
        drawing.arrow((371, y + 40), (386, y + 40), (386, 235), (403, 235))
    drawing.box(405, 205, 85, 60, "conv 1x1", "4C to C", fill=NEUTRAL)
    drawing.text(447, 290, "P", size=15, bold=True, anchor="middle")
    drawing.text(530, 34, "channel attention (CAM)", size=14, bold=True)
    for x, lines in (
        (530, ("conv 3x3", "C to 32")),
        (635, ("channel", "attention")),
        (740, ("conv 3x3", "32 to C")),
    ):
        drawing.box(x, 90, 90, 60, *lines, fill=ATTENTION if lines[0] == "channel" else NEUTRAL)
    drawing.text(530, 330, "column, then row attention", size=14, bold=True)
    drawing.box(530, 350, 125, 60, "column", "attention", fill=ATTENTION)
    drawing.box(695, 350, 125, 60, "row", "attention", fill=ATTENTION)
    drawing.arrow((490, 235), (508, 235), (508, 120), (528, 120))
    drawing.arrow((490, 235), (508, 235), (508, 380), (528, 380))
    drawing.arrow((620, 120), (633, 120))
    drawing.arrow((725, 120), (738, 120))
    drawing.arrow((655, 380), (693, 380))
    drawing.arrow((830, 120), (862, 120), (862, 217))
    drawing.arrow((820, 380), (862, 380), (862, 253))
    drawing.dot(862, 235, 17, fill=CHANGE)
    drawing.text(862, 241, "+", size=18, bold=True, anchor="middle")
    drawing.arrow((879, 235), (908, 235))
    drawing.text(914, 232, "HAN", size=12, bold=True)
    drawing.text(914, 248, "C", size=12)
    drawing.text(530, 172, "after each convolution: batch norm, PReLU", size=11, colour=MUTED)
    drawing.text(
        530,
        432,
        "each attention: gamma x attended + input, gamma starts at 0",
        size=11,
        colour=MUTED,
    )
    drawing.text(530, 449, "C = 40, 80, 160, 320 at scales 1 to 4", size=11, colour=MUTED)
    return drawing.to_svg()


def _kernel(drawing: Drawing, x: float, y: float, dilation: int) -> None:
    """Nine by nine pixels with the nine that a dilated 3x3 kernel reads."""
    cell = 7.5
    for row in range(9):
        for column in range(9):
            read = (row - 4) in (-dilation, 0, dilation) and (column - 4) in (
                -dilation,
                0,
                dilation,
            )
            drawing.rect(
                x + column * cell,
                y + row * cell,
                cell,
                cell,
                fill="#0f766e" if read else "#ffffff",
                stroke="#d5dcdf",
                line=0.5,
            )


def attention() -> str:
    """A pixel sees its column, then its row, and so everything."""
    drawing = Drawing(900, 330, "Column attention, then row attention: two steps reach every pixel")
    titles = ("1. column attention", "2. row attention", "both together")
    notes = (
        ("The pixel takes from all pixels", "of its column, weighed by", "softmax(q k)."),
        ("Each pixel of its row has already", "looked along its own column.", ""),
        ("Two cheap steps see the whole image:", "H + W products a pixel", "instead of H x W."),
    )
    for panel in range(3):
        left = 40 + panel * 290
        drawing.text(left, 36, titles[panel], size=14, bold=True)
        for row in range(8):
            for column in range(10):
                own = (row, column) == (3, 6)
                seen = (column == 6, row == 3, True)[panel]
                fill = CHANGE if own else ATTENTION if seen else "#ffffff"
                drawing.rect(
                    left + column * 22, 52 + row * 22, 22, 22, fill=fill, stroke="#b8c2c6", line=0.8
                )
        if panel == 1:
            for column in range(10):
                drawing.line(
                    [(left + column * 22 + 11, 55), (left + column * 22 + 11, 225)],
                    colour="#0f766e",
                    width=1,
                    dash="2 3",
                )
        drawing.rect(left + 6 * 22, 52 + 3 * 22, 22, 22, fill="none", stroke=INK, line=2.4)
        for index, line in enumerate(notes[panel]):
            drawing.text(left, 256 + index * 18, line, size=12)
    return drawing.to_svg()
