"""Scaled dot-product attention for every PyTorch from 1.13 on."""
import torch
import torch.nn.functional as F

FUSED = hasattr(F, "scaled_dot_product_attention")


def attend(q, k, v, bias, scale):
    """q [B, H, L, D], k and v [B, H, T, D], bias broadcastable to [B, H, L, T] (0 or -inf, or
    None) -> [B, L, H * D] in v's type."""
    q, k = q.to(v.dtype), k.to(v.dtype)
    if FUSED:
        mask = None if bias is None else bias.to(v.dtype)
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=scale)
    else:
        weights = (q * scale if scale != 1.0 else q) @ k.transpose(-1, -2)
        if bias is not None:
            weights = weights + bias
        out = weights.softmax(-1) @ v
    return out.transpose(1, 2).flatten(2)


def bias_of(seen):
    """0 where a key is seen, -inf where not."""
    return torch.zeros(seen.shape, device=seen.device).masked_fill_(~seen, float("-inf"))
