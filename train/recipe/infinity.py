"""Infinity's transformer (arXiv 2412.04431, "Infinity Transformer") with the module names of
the released checkpoints: blocks of self-attention within and before a scale, cross-attention
to the text, feed-forward; adaptive layer norm from the pooled text, its linear map shared by
the blocks; a head of two logits a bit.

Initialisation differs from the released one, which is made for long runs: residual gates
begin at 1, not at 5e-6, and a small model learns from the first step."""
import math

import torch
import torch.nn as nn
import torch.nn.functional as F

from . import bsq
from .attention import attend, bias_of
from .textenc import RMSNorm

ROPE_GRID = 64           # positions are stretched to this grid at every scale
ROPE_THETA = 10000.0
LEVELS = 15              # of the level embedding, as released
EPS = 1e-6
MAX_SCALE = math.log(100)


class SelfAttention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.scale_mul_1H11 = nn.Parameter(torch.full((1, heads, 1, 1), 4.0).log())
        self.mat_qkv = nn.Linear(width, 3 * width, bias=False)
        self.q_bias = nn.Parameter(torch.zeros(width))
        self.v_bias = nn.Parameter(torch.zeros(width))
        self.register_buffer("zero_k_bias", torch.zeros(width))
        self.proj = nn.Linear(width, width)

    def forward(self, x, rope, bias):
        b, length, width = x.shape
        qkv = F.linear(x, self.mat_qkv.weight,
                       torch.cat((self.q_bias, self.zero_k_bias, self.v_bias)))
        q, k, v = qkv.view(b, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
        scale = self.scale_mul_1H11.clamp_max(MAX_SCALE).exp()
        q = turn(F.normalize(q.float(), dim=-1) * scale, rope)
        k = turn(F.normalize(k.float(), dim=-1), rope)
        return self.proj(attend(q, k, v, bias, 1.0))


def turn(x, rope):
    """Rotates pairs of neighbouring channels of x [B, H, L, D] by rope = cos, sin [L, D/2]."""
    cos, sin = rope
    a, b = x.unflatten(-1, (-1, 2)).unbind(-1)
    return torch.stack((a * cos - b * sin, a * sin + b * cos), -1).flatten(-2)


class CrossAttention(nn.Module):
    """Queries from x, or with pooled=True one learned query a head, over the text."""

    def __init__(self, width, text_width, heads, pooled=False):
        super().__init__()
        self.heads, self.size, self.pooled = heads, width // heads, pooled
        if pooled:
            self.mat_q = nn.Parameter(torch.randn(1, heads, self.size)
                                      * math.sqrt(1 / width / 3))
        else:
            self.mat_q = nn.Linear(width, width)
        self.mat_kv = nn.Linear(text_width, 2 * width, bias=False)
        self.v_bias = nn.Parameter(torch.zeros(width))
        self.register_buffer("zero_k_bias", torch.zeros(width))
        self.proj = nn.Linear(width, width)

    def forward(self, x, text, bias):
        b, t, _ = text.shape
        kv = F.linear(text, self.mat_kv.weight, torch.cat((self.zero_k_bias, self.v_bias)))
        k, v = kv.view(b, t, 2, self.heads, self.size).permute(2, 0, 3, 1, 4).unbind(0)
        if self.pooled:
            q = self.mat_q.expand(b, -1, -1)[:, :, None]
        else:
            q = self.mat_q(x).view(b, -1, self.heads, self.size).transpose(1, 2)
        return self.proj(attend(q, k, v, bias, self.size ** -0.5))


class FeedForward(nn.Module):
    def __init__(self, width, hidden):
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x):
        return self.fc2(F.gelu(self.fc1(x), approximate="tanh"))


def norm(x):
    return F.layer_norm(x.float(), x.shape[-1:], eps=EPS)


class Block(nn.Module):
    def __init__(self, width, heads, hidden):
        super().__init__()
        self.sa = SelfAttention(width, heads)
        self.ca = CrossAttention(width, width, heads)
        self.ffn = FeedForward(width, hidden)
        self.ca_norm = nn.LayerNorm(width, eps=EPS)
        self.ada_gss = nn.Parameter(torch.randn(1, 1, 6, width) * width ** -0.5)

    def forward(self, x, condition, text, text_bias, rope, bias):
        gate1, gate2, scale1, scale2, shift1, shift2 = (self.ada_gss + condition).unbind(2)
        h = self.sa(torch.addcmul(shift1, norm(x), 1 + scale1), rope, bias)
        x = torch.addcmul(x, h, gate1)
        x = x + self.ca(self.ca_norm(x), text, text_bias)
        return torch.addcmul(x, self.ffn(torch.addcmul(shift2, norm(x), 1 + scale2)), gate2)


class HeadNorm(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.ada_lin = nn.Sequential(nn.SiLU(), nn.Linear(width, 2 * width))

    def forward(self, x, condition):
        scale, shift = self.ada_lin(condition).unflatten(-1, (1, 2, -1)).unbind(2)
        return torch.addcmul(shift, norm(x), 1 + scale)


class TextPool(nn.Module):
    """One vector of a text: the first token of the picture, and the condition."""

    def __init__(self, text_width, width):
        super().__init__()
        self.ca = CrossAttention(width, text_width, pool_heads_of(text_width), pooled=True)

    def forward(self, text, bias):
        return self.ca(None, text, bias).squeeze(1)


def pool_heads_of(text_width):
    """Of the pooling of a text: one for 128 of its channels, as released."""
    return max(1, text_width // 128)


def hidden_of(width):
    """Of the feed-forward: 4 times the width, to a multiple of 256, as released."""
    return max(256, round(width * 4 / 256) * 256)


class Infinity(nn.Module):
    def __init__(self, width, depth, heads, bits, text_width, text_rows, scales):
        super().__init__()
        self.width, self.bits, self.scales = width, bits, tuple(scales)
        self.cfg_uncond = nn.Parameter(torch.randn(text_rows, text_width)
                                       * 1.2 * text_width ** -0.5)
        self.text_norm = RMSNorm(text_width)
        self.text_proj_for_sos = TextPool(text_width, width)
        self.text_proj_for_ca = nn.Sequential(nn.Linear(text_width, width),
                                              nn.GELU(approximate="tanh"),
                                              nn.Linear(width, width))
        self.pos_start = nn.Parameter(torch.randn(1, 1, width) * (1 / width / 3) ** 0.5)
        self.lvl_embed = nn.Embedding(LEVELS, width)
        self.word_embed = nn.Linear(bits, width)
        self.shared_ada_lin = nn.Sequential(nn.SiLU(), nn.Linear(width, 6 * width))
        self.blocks = nn.ModuleList(Block(width, heads, hidden_of(width))
                                    for _ in range(depth))
        self.head_nm = HeadNorm(width)
        self.head = nn.Linear(width, 2 * bits)
        self.initialise(depth)
        self.tables(width // heads)

    def initialise(self, depth):
        for m in self.modules():
            if isinstance(m, nn.Linear):
                nn.init.trunc_normal_(m.weight, std=0.5 * self.width ** -0.5)
                if m.bias is not None:
                    nn.init.zeros_(m.bias)
        nn.init.normal_(self.lvl_embed.weight, std=(1 / self.width / 3) ** 0.5)
        nn.init.normal_(self.word_embed.weight, std=0.5)
        with torch.no_grad():
            for block in self.blocks:
                for out in (block.sa.proj, block.ca.proj, block.ffn.fc2):
                    out.weight.mul_(1.5 * (2 * depth) ** -0.5)
                block.ada_gss[:, :, :2] = 1.0
                block.ada_gss[:, :, 2:] *= 0.1
            for small in (self.shared_ada_lin[1], self.head_nm.ada_lin[1], self.head):
                small.weight.mul_(0.1)

    def tables(self, head_size):
        """Constants of the schedule: level of each token, which tokens see which, rotary
        angles, weights of the loss (a scale's tokens weigh 1 / its side)."""
        level = torch.cat([torch.full((h * h,), k) for k, h in enumerate(self.scales)])
        side = torch.tensor([self.scales[k] for k in level])
        weight = self.scales[-1] / side.float()
        frequency = ROPE_THETA ** (-torch.arange(0, head_size // 2, 2).float()
                                   / (head_size // 2))
        angles = []
        for h in self.scales:
            at = (torch.arange(h) * (ROPE_GRID / h)).round()
            y, x = torch.meshgrid(at, at, indexing="ij")
            angles.append(torch.cat((y.reshape(-1, 1) * frequency,
                                     x.reshape(-1, 1) * frequency), -1))
        angles = torch.cat(angles)
        for name, table in (("level", level), ("cos", angles.cos()), ("sin", angles.sin()),
                            ("seen", bias_of(level[:, None] >= level[None])),
                            ("weight", weight / weight.sum())):
            self.register_buffer(name, table, persistent=False)

    def condition(self, features, valid, dropped=None):
        """What the blocks know of the text.

          features  [B, T, text_width]
          valid     bool [B, T]
          dropped   bool [B] or None: rows that get the learned text of no prompt
        """
        if dropped is not None:
            none = self.cfg_uncond[:features.shape[1]].to(features.dtype)
            features = torch.where(dropped[:, None, None], none, features)
        text = self.text_norm(features)
        bias = bias_of(valid)[:, None, None]
        pooled = self.text_proj_for_sos(text, bias).float()
        return pooled, self.text_proj_for_ca(text), bias

    def forward(self, inputs, condition):
        """Logits [B, L, 2 bits] of the first L = 1 + inputs.shape[1] tokens; inputs [B, L - 1,
        bits] as bsq.tokens makes them."""
        pooled, text, text_bias = condition
        x = pooled[:, None] + self.pos_start
        if inputs is not None:
            x = torch.cat((x, self.word_embed(inputs)), 1)
        length = x.shape[1]
        x = x + self.lvl_embed(self.level[:length])
        shared = self.shared_ada_lin(pooled).view(-1, 1, 6, self.width)
        rope = self.cos[:length], self.sin[:length]
        bias = self.seen[:length, :length]
        for block in self.blocks:
            x = block(x, shared, text, text_bias, rope, bias)
        return self.head(self.head_nm(x, pooled)).float()

    def loss(self, labels, inputs, condition):
        """Mean cross entropy of the bits, weighted by scale; and which bits are right
        [B, L], as a share."""
        logits = self(inputs, condition).view(*labels.shape, 2)
        margin = logits[..., 1] - logits[..., 0]
        nll = F.softplus(torch.where(labels, -margin, margin)).mean(-1)
        right = ((margin > 0) == labels).float().mean(-1)
        return (nll * self.weight).sum(-1).mean(), right.detach()

    @torch.no_grad()
    def sample(self, features, valid, guidance, temperature, generator=None, flips=None,
               watch=None):
        """Summed codes [B, bits, H, H] of a prompt each. temperature 0 is greedy; flips gives
        for a scale's index the share of its bits that is flipped after sampling; watch is
        called at each scale with its index, mixed logits and bits."""
        b = len(features)
        both = torch.cat((features, features))
        dropped = torch.arange(2 * b, device=features.device) >= b
        condition = self.condition(both, torch.cat((valid, valid)), dropped)
        side = self.scales[-1]
        total = torch.zeros(b, self.bits, side, side, device=features.device)
        inputs, done = [], 0
        for k, h in enumerate(self.scales):
            seen = torch.cat(inputs, 1).repeat(2, 1, 1) if inputs else None
            logits = self(seen, condition)[:, done:done + h * h]
            done += h * h
            logits = guidance * logits[:b] + (1 - guidance) * logits[b:]
            margin = logits.view(b, h * h, self.bits, 2).diff(dim=-1).squeeze(-1)
            bits = margin > 0
            if temperature > 0:
                drawn = torch.rand(margin.shape, generator=generator).to(margin.device)
                bits = drawn < torch.sigmoid(margin / temperature)
            if flips and flips.get(k):
                drawn = torch.rand(margin.shape, generator=generator).to(margin.device)
                bits = bits ^ (drawn < flips[k])
            if watch:
                watch(k, logits, bits)
            code = bsq.code_of(bits.transpose(1, 2).reshape(b, self.bits, h, h), total)
            total = total + bsq.stretch(code, side)
            if k + 1 < len(self.scales):
                inputs.append(bsq.stretch(total, self.scales[k + 1]).flatten(2).transpose(1, 2))
        return total
