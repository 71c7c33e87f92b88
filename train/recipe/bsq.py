"""Multi-scale binary spherical quantizer (Infinity, arXiv 2412.04431, "Visual Tokenizer").

Scale k is a grid of h_k x h_k tokens of d bits; what coarser scales left unsaid is pooled to
that grid, its signs are the bits, and the code is stretched to the full grid and added:

    r_k = area(z - F_{k-1}),   b_k = r_k > 0,   F_k = F_{k-1} + up(+-1/sqrt(d))
"""
import torch
import torch.nn.functional as F


def stretch(x, side):
    """Bilinear to [.., side, side]; the same grid is left as it is."""
    return x if x.shape[-1] == side else F.interpolate(x, size=(side, side), mode="bilinear")


def pool(x, side):
    """Area to [.., side, side]."""
    return x if x.shape[-1] == side else F.interpolate(x, size=(side, side), mode="area")


def code_of(bits, like):
    """+-1/sqrt(d) from booleans [n, d, h, w]."""
    q = bits.shape[1] ** -0.5
    return torch.where(bits, q, -q).to(like.dtype)


def entropy(p):
    return -(p * (p + 1e-8).log() + (1 - p) * (1 - p + 1e-8).log())


def quantize(z, scales):
    """Summed codes of z [n, d, H, H] with straight-through gradients; the commitment loss; the
    entropy loss (each bit sure of itself, all bits used: BSQ, arXiv 2406.07548)."""
    z = z.float()
    side, d = z.shape[-1], z.shape[1]
    rest, total, uncertainty = z, 0.0, 0.0
    for h in scales:
        unit = F.normalize(pool(rest, h), dim=1)
        code = unit + (code_of(unit > 0, unit) - unit).detach()
        soft = torch.sigmoid(400.0 * unit * d ** -0.5)
        uncertainty = uncertainty + (entropy(soft).sum(1).mean()
                                     - entropy(soft.mean((0, 2, 3))).sum()) / 100
        up = stretch(code, side)
        rest = rest - up.detach()
        total = total + up
    commitment = F.mse_loss(z, total.detach()) * d
    return total, commitment, uncertainty / len(scales)


@torch.no_grad()
def tokens(z, scales, strength=0.0, flipped_scales=None):
    """Labels and inputs of the transformer for latents z [n, d, H, H].

    Bitwise self-correction ("Bitwise Self-Correction" in the paper): at each of the first
    `flipped_scales` scales one strength is drawn for the batch, uniformly from 0, 0.01, ...
    `strength`; every bit is flipped with that probability and the code is rebuilt from the
    flipped bits, so the labels of later scales say how to mend them.

      labels  bool  [n, L, d]    true signs of the residual of the flipped history
      inputs  float [n, L-1, d]  sum so far, resampled to the grid of the next scale
      total   float [n, d, H, H]
    """
    z = z.float()
    side = z.shape[-1]
    total = torch.zeros_like(z)
    labels, inputs = [], []
    for k, h in enumerate(scales):
        residual = pool(z - total, h)
        bits = residual > 0
        labels.append(bits.flatten(2).transpose(1, 2))
        if strength > 0 and (flipped_scales is None or k < flipped_scales):
            drawn = torch.randint(0, int(round(strength * 100)) + 1, ()).item() * 0.01
            bits = bits ^ (torch.rand_like(residual) < drawn)
        total = total + stretch(code_of(bits, z), side)
        if k + 1 < len(scales):
            inputs.append(stretch(total, scales[k + 1]).flatten(2).transpose(1, 2))
    return torch.cat(labels, 1), torch.cat(inputs, 1), total
