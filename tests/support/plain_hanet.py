"""HANet, plain and literal: every operation of docs/concepts/sources.md, section 1, in its order,
under the names of the official state dict.

This is the yardstick for `hanet.models.hanet` and `hanet.models.hanet_fused`. It is slow on
purpose; nothing in it is clever, and nothing is shared with the package.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class PlainBlock(nn.Module):
    """y = conv3x3(x); z = BN(conv1x1(ReLU(BN(y)))); ReLU(z + y)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, kernel_size=3, padding=1, bias=True)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, kernel_size=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(x)
        z = self.bn1(y)
        z = F.relu(z)
        z = self.conv2(z)
        z = self.bn2(z)
        return F.relu(z + y)


class PlainChannelAttention(nn.Module):
    """energy = X X^T; softmax(row maximum - energy) X, times gamma, plus X."""

    def __init__(self) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        rows = x.reshape(batch, channels, height * width)
        energy = torch.bmm(rows, rows.permute(0, 2, 1))
        maximum = torch.max(energy, dim=-1, keepdim=True)[0]
        attention = torch.softmax(maximum - energy, dim=-1)
        out = torch.bmm(attention, rows).reshape(batch, channels, height, width)
        return self.gamma * out + x


class PlainCAM(nn.Module):
    """conv, BN, PReLU, channel attention at 32 channels, conv, BN, PReLU."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.attn = nn.Sequential(
            nn.Conv2d(channels, 32, kernel_size=3, padding=1),
            nn.BatchNorm2d(32),
            nn.PReLU(),
            PlainChannelAttention(),
            nn.Conv2d(32, channels, kernel_size=3, padding=1),
            nn.BatchNorm2d(channels),
            nn.PReLU(),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.attn(x)


class PlainLineAttention(nn.Module):
    """Softmax attention over the positions of one column (or row), scores not scaled."""

    def __init__(self, channels: int, *, along: str) -> None:
        super().__init__()
        self.query_conv = nn.Conv2d(channels, channels, kernel_size=1)
        self.key_conv = nn.Conv2d(channels, channels, kernel_size=1)
        self.value_conv = nn.Conv2d(channels, channels, kernel_size=1)
        self.gamma = nn.Parameter(torch.zeros(1))
        self.along = along

    def forward(self, x: Tensor) -> Tensor:
        query = self.query_conv(x)
        key = self.key_conv(x)
        value = self.value_conv(x)
        if self.along == "column":  # i, j: two rows of the column w
            scores = torch.einsum("bciw,bcjw->bwij", query, key)
            attention = torch.softmax(scores, dim=-1)
            out = torch.einsum("bwij,bcjw->bciw", attention, value)
        else:  # i, j: two columns of the row h
            scores = torch.einsum("bchi,bchj->bhij", query, key)
            attention = torch.softmax(scores, dim=-1)
            out = torch.einsum("bhij,bchj->bchi", attention, value)
        return self.gamma * out + x


class PlainHANet(nn.Module):
    """The whole network; the four dead convolutions are left out."""

    def __init__(self, *, width: int = 40, bands: int = 3, head: str = "official") -> None:
        super().__init__()
        n = [width, 2 * width, 4 * width, 8 * width]
        self.head = head
        self.conv0_0 = nn.Conv2d(bands, n[0], kernel_size=5, padding=2)
        self.conv0 = PlainBlock(n[0], n[0])
        self.conv2 = PlainBlock(n[0], n[1])
        self.conv4 = PlainBlock(n[1], n[2])
        self.conv5 = PlainBlock(n[2], n[3])
        for m in (1, 2, 3, 4):
            c = n[m - 1]
            for d in (1, 2, 3, 4):
                conv = nn.Conv2d(2 * c, c, kernel_size=3, padding=d, dilation=d, groups=c // 2)
                setattr(self, f"conv6_{m}_{d}", conv)
            setattr(self, f"conv{m}_1", nn.Conv2d(4 * c, c, kernel_size=1))
            setattr(self, f"cam_attention_{m}", PlainCAM(c))
            setattr(self, f"col_attention_{m}", PlainLineAttention(c, along="column"))
            setattr(self, f"row_attention_{m}", PlainLineAttention(c, along="row"))
        self.conv6 = nn.Conv2d(sum(n), n[1], kernel_size=1)
        if head == "official":
            self.conv7 = nn.Conv2d(n[1], 2, kernel_size=3, padding=1, bias=False)
        else:  # Open-CD
            self.dropout = nn.Dropout2d(0.1)
            self.conv_seg = nn.Conv2d(n[1], 2, kernel_size=1)

    def encode(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        x = self.conv0_0(image)
        scale1 = self.conv0(x)
        scale2 = self.conv2(F.avg_pool2d(scale1, kernel_size=2))
        scale3 = self.conv4(F.avg_pool2d(scale2, kernel_size=2))
        scale4 = self.conv5(F.avg_pool2d(scale3, kernel_size=2))
        return scale1, scale2, scale3, scale4

    def han(self, m: int, before: Tensor, after: Tensor) -> Tensor:
        features = torch.cat([before, after], dim=1)
        parallel = [getattr(self, f"conv6_{m}_{d}")(features) for d in (1, 2, 3, 4)]
        p = getattr(self, f"conv{m}_1")(torch.cat(parallel, dim=1))
        cam = getattr(self, f"cam_attention_{m}")(p)
        column = getattr(self, f"col_attention_{m}")(p)
        row = getattr(self, f"row_attention_{m}")(column)
        return cam + row

    def forward(self, before: Tensor, after: Tensor) -> Tensor:
        before1, before2, before3, before4 = self.encode(before)
        after1, after2, after3, after4 = self.encode(after)
        c4 = self.han(4, before4, after4)
        c3 = torch.cat([self.han(3, before3, after3), up(c4)], dim=1)
        c2 = torch.cat([self.han(2, before2, after2), up(c3)], dim=1)
        c1 = torch.cat([self.han(1, before1, after1), up(c2)], dim=1)
        x = self.conv6(c1)
        if self.head == "official":
            return self.conv7(x)
        return self.conv_seg(self.dropout(x))


def up(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
