"""The networks to compare with as their authors describe them: each a literal evaluation, operation
by operation, on random tensors that get the names and shapes of the released files as they are
used.

Nothing here is the package's: what a converted network gives is compared with it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor


class Released:
    """A state dict in a released naming, filled while a network is evaluated.

    Args:
        seed: Of the random tensors.
    """

    def __init__(self, seed: int = 0) -> None:
        self.state: dict[str, Tensor] = {}
        self._generator = torch.Generator().manual_seed(seed)

    def drawn(self, name: str, *shape: int, scale: float = 1.0, about: float = 0.0) -> Tensor:
        """The tensor of a name, drawn when it is first asked for."""
        if name not in self.state:
            values = torch.randn(shape, generator=self._generator) * scale + about
            self.state[name] = values
        assert self.state[name].shape == shape
        return self.state[name]

    def conv(
        self,
        name: str,
        x: Tensor,
        outputs: int,
        kernel: int = 1,
        *,
        bias: bool = True,
        groups: int = 1,
        stride: int = 1,
        padding: int | None = None,
        dilation: int = 1,
    ) -> Tensor:
        inputs = x.shape[1] // groups
        scale = (inputs * kernel * kernel) ** -0.5
        weight = self.drawn(f"{name}.weight", outputs, inputs, kernel, kernel, scale=scale)
        added = self.drawn(f"{name}.bias", outputs, scale=0.1) if bias else None
        padding = kernel // 2 * dilation if padding is None else padding
        return F.conv2d(x, weight, added, stride, padding, dilation, groups)

    def transposed(self, name: str, x: Tensor, kernel: int, padding: int) -> Tensor:
        channels = x.shape[1]
        weight = self.drawn(
            f"{name}.weight", channels, channels, kernel, kernel, scale=channels**-0.5
        )
        bias = self.drawn(f"{name}.bias", channels, scale=0.1)
        return F.conv_transpose2d(x, weight, bias, stride=2, padding=padding)

    def linear(self, name: str, x: Tensor, outputs: int, *, bias: bool = True) -> Tensor:
        inputs = x.shape[-1]
        weight = self.drawn(f"{name}.weight", outputs, inputs, scale=inputs**-0.5)
        return F.linear(x, weight, self.drawn(f"{name}.bias", outputs, scale=0.1) if bias else None)

    def batch_norm(self, name: str, x: Tensor) -> Tensor:
        channels = x.shape[1]
        weight = self.drawn(f"{name}.weight", channels, scale=0.2, about=1.0)
        bias = self.drawn(f"{name}.bias", channels, scale=0.2)
        mean = self.drawn(f"{name}.running_mean", channels, scale=0.2)
        if f"{name}.running_var" not in self.state:
            drawn = torch.rand(channels, generator=self._generator)
            self.state[f"{name}.running_var"] = drawn + 0.5
        self.state[f"{name}.num_batches_tracked"] = torch.tensor(7)
        variance = self.state[f"{name}.running_var"]
        gain, shift = (v[None, :, None, None] for v in (weight / (variance + 1e-5).sqrt(), bias))
        return (x - mean[None, :, None, None]) * gain + shift

    def layer_norm(self, name: str, x: Tensor, eps: float = 1e-5) -> Tensor:
        channels = x.shape[-1]
        weight = self.drawn(f"{name}.weight", channels, scale=0.2, about=1.0)
        bias = self.drawn(f"{name}.bias", channels, scale=0.2)
        mean = x.mean(dim=-1, keepdim=True)
        variance = x.var(dim=-1, unbiased=False, keepdim=True)
        return (x - mean) / (variance + eps).sqrt() * weight + bias

    def prelu(self, name: str, x: Tensor) -> Tensor:
        return torch.where(x > 0, x, x * self.drawn(f"{name}.weight", 1, scale=0.1, about=0.25))


def raised(x: Tensor, factor: int, *, corners: bool = False) -> Tensor:
    size = [factor * side for side in x.shape[2:]]
    return F.interpolate(x, size=size, mode="bilinear", align_corners=corners)


# -- TinyCD: Codegoni et al., section 3, and torchvision's EfficientNet-B4


def tinycd(r: Released, before: Tensor, after: Tensor) -> Tensor:
    """Probability of change (B, 1, H, W)."""
    masks = [_tinycd_mask(r, "_first_mix", before, after, 10, 5)]
    dates = [
        F.silu(
            r.batch_norm("_backbone.0.1", r.conv("_backbone.0.0", x, 48, 3, bias=False, stride=2))
        )
        for x in (before, after)
    ]
    # repeats, channels, expansion, kernel, stride of B4's first three stages
    for stage, (repeats, channels, expansion, kernel, stride) in enumerate(
        [(2, 24, 1, 3, 1), (4, 32, 6, 3, 2), (4, 56, 6, 5, 2)], 1
    ):
        for block in range(repeats):
            name, step = f"_backbone.{stage}.{block}.block", 1 if block else stride
            dates = [_tinycd_block(r, name, x, channels, expansion, kernel, step) for x in dates]
        if stage < 3:
            mask = f"_mixing_mask.{stage - 1}"
            masks.append(_tinycd_mask(r, mask, *dates, channels // 2, channels // 4))
    x = _tinycd_mixing(r, "_mixing_mask.2", *dates)
    for number, outputs in enumerate((64, 64, 32)):
        x = raised(x, 2, corners=True) * masks[2 - number]
        name = f"_up.{number}._convolution"
        x = r.prelu(f"{name}.1", r.conv(f"{name}.0", x, x.shape[1], 3, groups=x.shape[1]))
        x = r.prelu(f"{name}.4", r.conv(f"{name}.3", _instance_norm(x), outputs))
        x = _instance_norm(x)
    x = r.prelu("_classify._linears.0.1", r.conv("_classify._linears.0.0", x, 16))
    x = r.prelu("_classify._linears.1.1", r.conv("_classify._linears.1.0", x, 8))
    return torch.sigmoid(r.conv("_classify._linears.2.0", x, 1))


def _tinycd_block(
    r: Released, name: str, x: Tensor, outputs: int, expansion: int, kernel: int, stride: int
) -> Tensor:
    inputs, y, number = x.shape[1], x, 0
    hidden = inputs * expansion
    if expansion > 1:
        y = F.silu(r.batch_norm(f"{name}.0.1", r.conv(f"{name}.0.0", y, hidden, bias=False)))
        number = 1
    y = r.conv(f"{name}.{number}.0", y, hidden, kernel, bias=False, groups=hidden, stride=stride)
    y = F.silu(r.batch_norm(f"{name}.{number}.1", y))
    squeeze = f"{name}.{number + 1}"
    scale = F.silu(r.conv(f"{squeeze}.fc1", y.mean(dim=(2, 3), keepdim=True), inputs // 4))
    y = y * torch.sigmoid(r.conv(f"{squeeze}.fc2", scale, hidden))
    project = f"{name}.{number + 2}"
    y = r.batch_norm(f"{project}.1", r.conv(f"{project}.0", y, outputs, bias=False))
    return x + y if stride == 1 and inputs == outputs else y


def _tinycd_mixing(r: Released, name: str, before: Tensor, after: Tensor) -> Tensor:
    batch, channels, height, width = before.shape
    # channel 0 of before, channel 0 of after, channel 1 of before ...
    turn = torch.stack([before, after], dim=2).reshape(batch, 2 * channels, height, width)
    mixed = r.conv(f"{name}._convmix.0", turn, channels, 3, groups=channels)
    return _instance_norm(r.prelu(f"{name}._convmix.1", mixed))


def _tinycd_mask(
    r: Released, name: str, before: Tensor, after: Tensor, first: int, second: int
) -> Tensor:
    x = _tinycd_mixing(r, f"{name}._mixing", before, after)
    for number, outputs in enumerate((first, second, 1)):
        layer = f"{name}._linear._linears.{number}"
        x = r.prelu(f"{layer}.1", r.conv(f"{layer}.0", x, outputs))
    return x


def _instance_norm(x: Tensor) -> Tensor:
    mean = x.mean(dim=(2, 3), keepdim=True)
    variance = x.var(dim=(2, 3), unbiased=False, keepdim=True)
    return (x - mean) / (variance + 1e-5).sqrt()


# -- SNUNet-CD with ECAM: Fang et al., figure 1, written out node by node


def snunet(r: Released, before: Tensor, after: Tensor, width: int = 16) -> Tensor:
    """Logits (B, 2, H, W)."""

    def node(level: int, step: int, *inputs: Tensor) -> Tensor:
        name, channels = f"conv{level}_{step}", width * 2**level
        first = r.conv(f"{name}.conv1", torch.cat(inputs, dim=1), channels, 3)
        second = r.conv(f"{name}.conv2", F.relu(r.batch_norm(f"{name}.bn1", first)), channels, 3)
        return F.relu(r.batch_norm(f"{name}.bn2", second) + first)

    def up(level: int, step: int, x: Tensor) -> Tensor:
        return r.transposed(f"Up{level}_{step}.up", x, 2, 0)

    def encoded(image: Tensor) -> list[Tensor]:
        levels = [node(0, 0, image)]
        for level in range(1, 5):
            levels.append(node(level, 0, F.max_pool2d(levels[-1], 2)))
        return levels

    a, b = encoded(before), encoded(after)
    x01 = node(0, 1, a[0], b[0], up(1, 0, b[1]))
    x11 = node(1, 1, a[1], b[1], up(2, 0, b[2]))
    x21 = node(2, 1, a[2], b[2], up(3, 0, b[3]))
    x31 = node(3, 1, a[3], b[3], up(4, 0, b[4]))
    x02 = node(0, 2, a[0], b[0], x01, up(1, 1, x11))
    x12 = node(1, 2, a[1], b[1], x11, up(2, 1, x21))
    x22 = node(2, 2, a[2], b[2], x21, up(3, 1, x31))
    x03 = node(0, 3, a[0], b[0], x01, x02, up(1, 2, x12))
    x13 = node(1, 3, a[1], b[1], x11, x12, up(2, 2, x22))
    x04 = node(0, 4, a[0], b[0], x01, x02, x03, up(1, 3, x13))

    def attention(name: str, x: Tensor, ratio: int) -> Tensor:
        def scored(summary: Tensor) -> Tensor:
            hidden = r.conv(f"{name}.fc1", summary, x.shape[1] // ratio, bias=False)
            return r.conv(f"{name}.fc2", F.relu(hidden), x.shape[1], bias=False)

        return torch.sigmoid(
            scored(F.adaptive_avg_pool2d(x, 1)) + scored(F.adaptive_max_pool2d(x, 1))
        )

    outputs = [x01, x02, x03, x04]
    within = attention("ca1", x01 + x02 + x03 + x04, 4)
    joined = torch.cat(outputs, dim=1)
    weighed = attention("ca", joined, 16) * (joined + torch.cat([within] * 4, dim=1))
    return r.conv("conv_final", weighed, 2)


# -- MSPSNet: Guo et al., figure 1


def mspsnet(r: Released, before: Tensor, after: Tensor, width: int = 8) -> Tensor:
    """Logits (B, 2, H, W)."""

    def cell(name: str, x: Tensor, outputs: int) -> Tensor:
        first = r.conv(f"{name}.conv1", x, outputs, 3)
        hidden = F.relu(r.batch_norm(f"{name}.bn1", first))
        second = r.batch_norm(f"{name}.bn2", r.conv(f"{name}.conv2", hidden, outputs, bias=False))
        return F.relu(second + first)

    def encoded(image: Tensor) -> list[Tensor]:
        levels = [cell("conv0", r.conv("conv0_0", image, width, 5), width)]
        for level, name in enumerate(("conv2", "conv4", "conv5"), 1):
            levels.append(cell(name, F.avg_pool2d(levels[-1], 2), width * 2**level))
        return levels

    def scale(number: int, both: Tensor) -> Tensor:
        channels = both.shape[1] // 2
        parallel = [
            r.conv(
                f"conv6_{number}_{dilation}",
                both,
                channels,
                3,
                groups=channels // 2,
                dilation=dilation,
            )
            for dilation in (1, 2, 3, 4)
        ]
        x = r.conv(f"conv{number}_1", torch.cat(parallel, dim=1), channels)
        name = f"cam_attention_{number}.attn"
        x = r.prelu(f"{name}.2", r.batch_norm(f"{name}.1", r.conv(f"{name}.0", x, 32, 3)))
        flat = x.flatten(2)
        energy = flat @ flat.transpose(1, 2)
        attended = torch.softmax(energy.max(dim=2, keepdim=True).values - energy, dim=2) @ flat
        x = x + r.drawn(f"{name}.3.gamma", 1, about=0.3, scale=0.1) * attended.reshape(x.shape)
        return r.prelu(f"{name}.6", r.batch_norm(f"{name}.5", r.conv(f"{name}.4", x, channels, 3)))

    pairs = [torch.cat(pair, dim=1) for pair in zip(encoded(before), encoded(after), strict=True)]
    x = scale(4, pairs[3])
    for number in (3, 2, 1):
        x = torch.cat([scale(number, pairs[number - 1]), raised(x, 2)], dim=1)
    return r.conv("conv7", r.conv("conv6", x, 2 * width), 2, 3, bias=False)


def mspsnet_unused(r: Released, width: int = 8) -> None:
    """The four convolutions that no forward pass uses."""
    for number, inputs in enumerate((1, 2, 4, 8), 1):
        outputs = width if number == 1 else 2 * width
        r.conv(f"c{number}_conv", torch.zeros(1, inputs * width, 3, 3), outputs, 3)


# -- BIT: Chen, Qi and Shi, section III


def bit(r: Released, before: Tensor, after: Tensor, head_width: int = 8) -> Tensor:
    """Logits (B, 2, H, W)."""

    def features(image: Tensor) -> Tensor:
        coarse = _resnet(r, "resnet", image, 64, strides=(1, 2, 1))[-1]
        return r.conv("conv_pred", F.interpolate(coarse, scale_factor=2, mode="nearest"), 32, 3)

    def heads(x: Tensor) -> Tensor:  # (B, N, 8 D) -> (B, 8, N, D)
        return x.unflatten(2, (8, x.shape[2] // 8)).transpose(1, 2)

    def attended(name: str, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        weights = torch.softmax(torch.einsum("bhid,bhjd->bhij", query, key) / 32**0.5, dim=3)
        return r.linear(f"{name}.to_out.0", (weights @ value).transpose(1, 2).flatten(2), 32)

    def perceptron(name: str, x: Tensor) -> Tensor:
        hidden = F.gelu(r.linear(f"{name}.fn.fn.net.0", r.layer_norm(f"{name}.fn.norm", x), 64))
        return x + r.linear(f"{name}.fn.fn.net.3", hidden, 32)

    maps = [features(before), features(after)]
    tokens = []
    for x in maps:
        weights = torch.softmax(r.conv("conv_a", x, 4, bias=False).flatten(2), dim=2)
        tokens.append(torch.einsum("bln,bcn->blc", weights, x.flatten(2)))
    both = torch.cat(tokens, dim=1) + r.drawn("pos_embedding", 1, 8, 32)
    name = "transformer.layers.0.0.fn"
    fused = r.linear(f"{name}.fn.to_qkv", r.layer_norm(f"{name}.norm", both), 3 * 512, bias=False)
    both = both + attended(f"{name}.fn", *(heads(part) for part in fused.split(512, dim=2)))
    memories = perceptron("transformer.layers.0.1", both).split(4, dim=1)
    refined = []
    for x, memory in zip(maps, memories, strict=True):
        row = x.flatten(2).transpose(1, 2)
        for layer in range(8):
            name = f"transformer_decoder.layers.{layer}.0.fn"
            asking, asked = (r.layer_norm(f"{name}.norm", side) for side in (row, memory))
            projected = [
                heads(r.linear(f"{name}.fn.to_{part}", side, 8 * head_width, bias=False))
                for part, side in (("q", asking), ("k", asked), ("v", asked))
            ]
            row = row + attended(f"{name}.fn", *projected)
            row = perceptron(f"transformer_decoder.layers.{layer}.1", row)
        refined.append(row.transpose(1, 2).reshape(x.shape))
    x = raised((refined[0] - refined[1]).abs(), 4)
    x = F.relu(r.batch_norm("classifier.1", r.conv("classifier.0", x, 32, 3, bias=False)))
    return r.conv("classifier.3", x, 2, 3)


def bit_unused(r: Released) -> None:
    """The last level and the classifier of ResNet-18."""
    level = _ResNetLevel(r, "resnet.layer4", 1)
    level(torch.zeros(1, 256, 4, 4), 512, (1, 1))
    r.linear("resnet.fc", torch.zeros(1, 512), 1000)


class _ResNetLevel:
    def __init__(self, r: Released, name: str, stride: int) -> None:
        self._r, self._name, self._stride = r, name, stride

    def __call__(self, x: Tensor, outputs: int, dilations: tuple[int, ...]) -> Tensor:
        r = self._r
        for number, dilation in enumerate(dilations):
            name, stride = f"{self._name}.{number}", 1 if number else self._stride
            y = r.conv(f"{name}.conv1", x, outputs, 3, bias=False, stride=stride, dilation=dilation)
            y = F.relu(r.batch_norm(f"{name}.bn1", y))
            y = r.batch_norm(f"{name}.bn2", r.conv(f"{name}.conv2", y, outputs, 3, bias=False))
            if stride != 1 or x.shape[1] != outputs:
                x = r.conv(f"{name}.downsample.0", x, outputs, bias=False, stride=stride)
                x = r.batch_norm(f"{name}.downsample.1", x)
            x = F.relu(x + y)
        return x


def _resnet(
    r: Released,
    name: str,
    image: Tensor,
    width: int,
    strides: tuple[int, ...],
    last: tuple[int, ...] = (1, 1),
) -> list[Tensor]:
    x = r.conv(f"{name}.conv1", image, width, 7, bias=False, stride=2)
    x = F.max_pool2d(F.relu(r.batch_norm(f"{name}.bn1", x)), 3, stride=2, padding=1)
    levels = []
    for number, stride in enumerate(strides):
        dilations = last if number == len(strides) - 1 else (1, 1)
        x = _ResNetLevel(r, f"{name}.layer{number + 1}", stride)(x, width * 2**number, dilations)
        levels.append(x)
    return levels


# -- ChangeFormer: Bandara and Patel, section 2, V6


def changeformer(r: Released, before: Tensor, after: Tensor, width: int = 8) -> Tensor:
    """Logits (B, 2, H, W)."""
    sizes, decoded = (width, 2 * width, 5 * width, 8 * width), 4 * width

    def encoded(x: Tensor) -> list[Tensor]:
        levels = []
        for stage, (channels, depth) in enumerate(zip(sizes, (3, 3, 4, 3), strict=True), 1):
            name = f"Tenc_x2.patch_embed{stage}"
            x = r.conv(f"{name}.proj", x, channels, 7, stride=4 if stage == 1 else 2, padding=3)
            height, wide = x.shape[2:]
            row = r.layer_norm(f"{name}.norm", x.flatten(2).transpose(1, 2))
            for block in range(depth):
                row = _changeformer_block(
                    r, f"Tenc_x2.block{stage}.{block}", row, height, wide, stage
                )
            row = r.layer_norm(f"Tenc_x2.norm{stage}", row, 1e-6)
            x = row.transpose(1, 2).reshape(-1, channels, height, wide)
            levels.append(x)
        return levels

    differences: list[Tensor] = []
    pairs = list(zip(encoded(before), encoded(after), strict=True))
    for stage in (4, 3, 2, 1):
        narrow = []
        for x in pairs[stage - 1]:
            row = r.linear(f"TDec_x2.linear_c{stage}.proj", x.flatten(2).transpose(1, 2), decoded)
            narrow.append(row.transpose(1, 2).reshape(x.shape[0], decoded, *x.shape[2:]))
        name = f"TDec_x2.diff_c{stage}"
        x = F.relu(r.conv(f"{name}.0", torch.cat(narrow, dim=1), decoded, 3))
        x = F.relu(r.conv(f"{name}.3", r.batch_norm(f"{name}.2", x), decoded, 3))
        differences.append(x + raised(differences[-1], 2) if differences else x)
    c4, c3, c2, c1 = differences
    joined = torch.cat([raised(c4, 8), raised(c3, 4), raised(c2, 2), c1], dim=1)
    x = r.batch_norm("TDec_x2.linear_fuse.1", r.conv("TDec_x2.linear_fuse.0", joined, decoded))
    for scale in ("2x", "1x"):
        x = r.transposed(f"TDec_x2.convd{scale}.conv2d", x, 4, 1)
        name = f"TDec_x2.dense_{scale}.0"
        hidden = F.relu(r.conv(f"{name}.conv1.conv2d", x, decoded, 3))
        x = 0.1 * r.conv(f"{name}.conv2.conv2d", hidden, decoded, 3) + x
    return r.conv("TDec_x2.change_probability.conv2d", x, 2, 3)


def _changeformer_block(
    r: Released, name: str, row: Tensor, height: int, wide: int, stage: int
) -> Tensor:
    batch, _, channels = row.shape
    heads, reduction = 2 ** (stage - 1), 2 ** (4 - stage)
    x = r.layer_norm(f"{name}.norm1", row, 1e-6)
    query = r.linear(f"{name}.attn.q", x, channels)
    if reduction > 1:
        image = x.transpose(1, 2).reshape(batch, channels, height, wide)
        image = r.conv(f"{name}.attn.sr", image, channels, reduction, stride=reduction, padding=0)
        x = r.layer_norm(f"{name}.attn.norm", image.flatten(2).transpose(1, 2))
    key, value = r.linear(f"{name}.attn.kv", x, 2 * channels).split(channels, dim=2)
    split = [
        part.unflatten(2, (heads, channels // heads)).transpose(1, 2)
        for part in (query, key, value)
    ]
    scores = split[0] @ split[1].transpose(2, 3) / math.sqrt(channels // heads)
    gathered = (torch.softmax(scores, dim=3) @ split[2]).transpose(1, 2).flatten(2)
    row = row + r.linear(f"{name}.attn.proj", gathered, channels)
    hidden = r.linear(f"{name}.mlp.fc1", r.layer_norm(f"{name}.norm2", row, 1e-6), 4 * channels)
    image = hidden.transpose(1, 2).reshape(batch, 4 * channels, height, wide)
    image = r.conv(f"{name}.mlp.dwconv.dwconv", image, 4 * channels, 3, groups=4 * channels)
    hidden = F.gelu(image.flatten(2).transpose(1, 2))
    return row + r.linear(f"{name}.mlp.fc2", hidden, channels)


def changeformer_unused(r: Released, width: int = 8) -> None:
    """The heads that predict change from each scale."""
    for stage in (1, 2, 3, 4):
        name = f"TDec_x2.make_pred_c{stage}"
        x = r.batch_norm(f"{name}.2", r.conv(f"{name}.0", torch.zeros(1, 4 * width, 3, 3), 2, 3))
        r.conv(f"{name}.3", x, 2, 3)


# -- STANet with PAM: Chen and Shi, section 3


def stanet_features(r: Released, image: Tensor, width: int = 8) -> Tensor:
    """Features of one date, (B, C, H / 4, W / 4), by the extractor."""
    levels = _resnet(r, "module.backbone", image, width, (1, 2, 2, 2), last=(1, 2, 4))
    narrow = []
    for number, x in enumerate(levels):
        name = f"module.decoder.dr{number + 2}"
        x = r.conv(f"{name}.conv1", x, width * 3 // 2, bias=False)
        narrow.append(raised(F.relu(r.batch_norm(f"{name}.bn1", x)), 2**number, corners=True))
    joined = torch.cat([narrow[3], narrow[0], narrow[1], narrow[2]], dim=1)
    name = "module.decoder.last_conv"
    x = F.relu(r.batch_norm(f"{name}.1", r.conv(f"{name}.0", joined, 4 * width, 3, bias=False)))
    return F.relu(r.batch_norm(f"{name}.5", r.conv(f"{name}.4", x, width, bias=False)))


def stanet_distance(r: Released, before: Tensor, after: Tensor) -> Tensor:
    """Distance (B, 1, H, W) by the attention, from both dates' features."""
    width = before.shape[3]
    joined = torch.cat([before, after], dim=3)  # the dates side by side
    contexts = []
    for level, grid in enumerate((1, 2, 4, 8)):
        name = f"Self_Att.stages.{level}"
        channels = joined.shape[1]
        query, key = (
            r.batch_norm(f"{name}.f_{part}.1", r.conv(f"{name}.f_{part}.0", joined, channels // 8))
            for part in ("query", "key")
        )
        value = r.conv(f"{name}.f_value", joined, channels)
        context = torch.zeros_like(value)
        for down, old_across, new_across in _cells(grid, joined.shape[2], width):

            def cell(
                x: Tensor, place: tuple[slice, slice, slice] = (down, old_across, new_across)
            ) -> Tensor:
                halves = [x[:, :, place[0], across] for across in place[1:]]
                return torch.stack(halves, dim=4).flatten(2)

            scores = cell(query).transpose(1, 2) @ cell(key) / math.sqrt(channels // 8)
            gathered = cell(value) @ torch.softmax(scores, dim=2).transpose(1, 2)
            shape = (joined.shape[2] // grid, width // grid, 2)
            old, new = gathered.unflatten(2, shape).unbind(dim=4)
            context[:, :, down, old_across] = old
            context[:, :, down, new_across] = new
        contexts.append(context)
    merged = r.conv("Self_Att.conv_bn.0", torch.cat(contexts, dim=1), joined.shape[1], bias=False)
    distance = F.pairwise_distance(
        *(half.permute(0, 2, 3, 1) for half in merged.split(width, dim=3)), keepdim=True
    )
    return raised(distance.permute(0, 3, 1, 2), 4, corners=True)


def _cells(grid: int, height: int, width: int) -> Iterator[tuple[slice, slice, slice]]:
    """Rows of each cell, its columns in the first date and in the second beside it."""
    rows, columns = height // grid, width // grid
    for i in range(grid):
        for j in range(grid):
            yield (
                slice(i * rows, (i + 1) * rows),
                slice(j * columns, (j + 1) * columns),
                slice(width + j * columns, width + (j + 1) * columns),
            )


Forward = Callable[[Released, Tensor, Tensor], Tensor]
