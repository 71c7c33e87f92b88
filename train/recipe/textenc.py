"""A small causal text encoder in Qwen2's layout and with its key names: RMS norm, rotary
positions (halves rotated), grouped keys and values, gated MLP. Its last hidden states are the
transformer's text features."""
import torch
import torch.nn as nn
import torch.nn.functional as F

from .attention import attend, bias_of

THETA = 1e6
EPS = 1e-6


class RMSNorm(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x):
        f = x.float()
        f = f * torch.rsqrt(f.pow(2).mean(-1, keepdim=True) + EPS)
        return (f * self.weight).to(x.dtype)


class Attention(nn.Module):
    def __init__(self, width, heads, kv_heads):
        super().__init__()
        self.heads, self.kv_heads, self.size = heads, kv_heads, width // heads
        self.q_proj = nn.Linear(width, width)
        self.k_proj = nn.Linear(width, kv_heads * self.size)
        self.v_proj = nn.Linear(width, kv_heads * self.size)
        self.o_proj = nn.Linear(width, width, bias=False)

    def forward(self, x, cos, sin, bias):
        q = self.split(self.q_proj(x), self.heads)
        k = self.split(self.k_proj(x), self.kv_heads)
        v = self.split(self.v_proj(x), self.kv_heads)
        q, k = (t * cos + rotated(t) * sin for t in (q, k))
        k, v = (t.repeat_interleave(self.heads // self.kv_heads, 1) for t in (k, v))
        return self.o_proj(attend(q, k, v, bias, self.size ** -0.5))

    def split(self, x, heads):
        return x.view(*x.shape[:2], heads, self.size).transpose(1, 2)


def rotated(x):
    a, b = x.chunk(2, -1)
    return torch.cat((-b, a), -1)


class MLP(nn.Module):
    def __init__(self, width, hidden):
        super().__init__()
        self.gate_proj = nn.Linear(width, hidden, bias=False)
        self.up_proj = nn.Linear(width, hidden, bias=False)
        self.down_proj = nn.Linear(hidden, width, bias=False)

    def forward(self, x):
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Layer(nn.Module):
    def __init__(self, width, hidden, heads, kv_heads):
        super().__init__()
        self.input_layernorm = RMSNorm(width)
        self.self_attn = Attention(width, heads, kv_heads)
        self.post_attention_layernorm = RMSNorm(width)
        self.mlp = MLP(width, hidden)

    def forward(self, x, cos, sin, bias):
        x = x + self.self_attn(self.input_layernorm(x), cos, sin, bias)
        return x + self.mlp(self.post_attention_layernorm(x))


class TextEncoder(nn.Module):
    """ids [B, T] -> features [B, T, width]. Rows may be padded at the end: causal attention
    keeps what stands before from seeing it."""

    def __init__(self, pieces, width, hidden, layers, heads, kv_heads):
        super().__init__()
        self.size = width // heads
        self.embed_tokens = nn.Embedding(pieces, width)
        self.layers = nn.ModuleList(Layer(width, hidden, heads, kv_heads)
                                    for _ in range(layers))
        self.norm = RMSNorm(width)
        for m in self.modules():
            if isinstance(m, nn.Linear):
                nn.init.normal_(m.weight, std=0.5 * width ** -0.5)
                if m.bias is not None:
                    nn.init.zeros_(m.bias)
        nn.init.normal_(self.embed_tokens.weight, std=0.05)

    def forward(self, ids):
        t, where = ids.shape[1], ids.device
        frequency = THETA ** (-torch.arange(0, self.size, 2, device=where).float() / self.size)
        angle = torch.arange(t, device=where).float()[:, None] * frequency
        angle = torch.cat((angle, angle), -1)
        bias = bias_of(torch.ones(t, t, dtype=torch.bool, device=where).tril())
        x = self.embed_tokens(ids)
        for layer in self.layers:
            x = layer(x, angle.cos(), angle.sin(), bias)
        return self.norm(x)
