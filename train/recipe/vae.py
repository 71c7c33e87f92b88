"""The tokenizer's networks: a small convolutional encoder and decoder with the module names of
Infinity's released tokenizers (arXiv 2412.04431), so that the exported keys are theirs.

GroupNorm has 32 groups where they divide the channels, else 24, as released; widths are
multiples of 24 or 32."""
import torch.nn as nn
import torch.nn.functional as F


class Norm(nn.Module):
    def __init__(self, channels):
        super().__init__()
        groups = 32 if channels % 32 == 0 else 24
        self.norm = nn.GroupNorm(groups, channels, eps=1e-6)

    def forward(self, x):
        return self.norm(x)


class Conv(nn.Module):
    def __init__(self, src, dst, kernel, stride=1, padding=0):
        super().__init__()
        self.conv = nn.Conv2d(src, dst, kernel, stride, padding)

    def forward(self, x):
        return self.conv(x)


class ResnetBlock(nn.Module):
    def __init__(self, src, dst):
        super().__init__()
        self.norm1 = Norm(src)
        self.conv1 = Conv(src, dst, 3, padding=1)
        self.norm2 = Norm(dst)
        self.conv2 = Conv(dst, dst, 3, padding=1)
        if src != dst:
            self.nin_shortcut = Conv(src, dst, 1)

    def forward(self, x):
        h = self.conv1(F.silu(self.norm1(x)))
        h = self.conv2(F.silu(self.norm2(h)))
        return (self.nin_shortcut(x) if hasattr(self, "nin_shortcut") else x) + h


class Downsample(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv = Conv(channels, channels, 3, stride=2)

    def forward(self, x):
        return self.conv(F.pad(x, (0, 1, 0, 1)))


class Upsample(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv = Conv(channels, channels, 3, padding=1)

    def forward(self, x):
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))


def middle(channels):
    """Two residual blocks at the coarsest grid; the small models have no attention there."""
    mid = nn.Module()
    mid.block_1 = ResnetBlock(channels, channels)
    mid.block_2 = ResnetBlock(channels, channels)
    return mid


class Encoder(nn.Module):
    """[n, 3, S, S] in [-1, 1] -> [n, bits, S/stride, S/stride]."""

    def __init__(self, base, ch_mult, res_blocks, bits):
        super().__init__()
        self.conv_in = Conv(3, base, 3, padding=1)
        self.down = nn.ModuleList()
        width = base
        for level, mult in enumerate(ch_mult):
            down = nn.Module()
            down.block = nn.ModuleList()
            for _ in range(res_blocks):
                down.block.append(ResnetBlock(width, base * mult))
                width = base * mult
            if level < len(ch_mult) - 1:
                down.downsample = Downsample(width)
            self.down.append(down)
        self.mid = middle(width)
        self.norm_out = Norm(width)
        self.conv_out = Conv(width, bits, 3, padding=1)

    def forward(self, x):
        h = self.conv_in(x)
        for down in self.down:
            for block in down.block:
                h = block(h)
            if hasattr(down, "downsample"):
                h = down.downsample(h)
        h = self.mid.block_2(self.mid.block_1(h))
        return self.conv_out(F.silu(self.norm_out(h)))


class Decoder(nn.Module):
    """[n, bits, h, w] summed codes -> [n, 3, S, S], about [-1, 1]."""

    def __init__(self, base, ch_mult, res_blocks, bits):
        super().__init__()
        width = base * ch_mult[-1]
        self.conv_in = Conv(bits, width, 3, padding=1)
        self.mid = middle(width)
        levels = []
        for level, mult in reversed(list(enumerate(ch_mult))):
            up = nn.Module()
            up.block = nn.ModuleList()
            for _ in range(res_blocks + 1):
                up.block.append(ResnetBlock(width, base * mult))
                width = base * mult
            if level > 0:
                up.upsample = Upsample(width)
            levels.append(up)
        self.up = nn.ModuleList(reversed(levels))
        self.norm_out = Norm(width)
        self.conv_out = Conv(width, 3, 3, padding=1)

    def forward(self, code):
        h = self.mid.block_2(self.mid.block_1(self.conv_in(code)))
        for up in reversed(self.up):
            for block in up.block:
                h = block(h)
            if hasattr(up, "upsample"):
                h = up.upsample(h)
        return self.conv_out(F.silu(self.norm_out(h)))


class VAE(nn.Module):
    """encoder.* and decoder.*, the keys of the released file. The quantizer between them
    (bsq.py) has no weights."""

    def __init__(self, base, ch_mult, res_blocks, bits):
        super().__init__()
        self.encoder = Encoder(base, ch_mult, res_blocks, bits)
        self.decoder = Decoder(base, ch_mult, res_blocks, bits)
