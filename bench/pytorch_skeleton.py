#!/usr/bin/python3
"""The peer: Infinity in PyTorch f32, from text features to a WebP file, on the weights of a
model directory of ours (model.json, safetensors).

Written from the specification of the method, in the way its authors' code is: the
transformer with a cache of keys and values, shared adaptive layer norm, guidance as a second
row, bits drawn per scale, and the convolutional decoder. What made it faster is used: keys
and values of the text once an image, channels last in the decoder; --original does without
both, as the published code does. Products by oneDNN (--linear) were no faster than by BLAS.

    pytorch_skeleton.py MODEL [--threads N] [--rounds N] [--original] [--output FILE]
    pytorch_skeleton.py --check GOLDEN          compares with recorded tensors

One JSON object a line: what it runs on, then seconds of each round, on a line of its own, so
that somebody else may take turns (--turns: a round for every line on standard input)."""
import argparse
import io
import json
import math
import os
import sys
import time

try:
    import numpy as np
    import torch
    import torch.nn.functional as F
except ImportError as missing:
    print(f"pytorch_skeleton.py: {missing}", file=sys.stderr)
    sys.exit(77)


def tensors_of(path):
    """All of a safetensors file, floats as f32."""
    data = np.memmap(path, dtype=np.uint8, mode="r")
    n = int(data[:8].view(np.uint64)[0])
    out = {}
    for name, t in json.loads(bytes(data[8:8 + n])).items():
        if name == "__metadata__":
            continue
        a, b = t["data_offsets"]
        raw = np.array(data[8 + n + a:8 + n + b])
        if t["dtype"] == "BF16":
            x = (raw.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
        elif t["dtype"] == "F16":
            x = raw.view(np.float16).astype(np.float32)
        elif t["dtype"] == "F32":
            x = raw.view(np.float32)
        elif t["dtype"] == "U8":
            x = raw
        else:
            raise SystemExit(f"{path}: {name} is {t['dtype']}, expected a float type")
        out[name] = torch.from_numpy(x.reshape(t["shape"]))
    return out


class Linear:
    """y = x W^T + b by BLAS, or by oneDNN with packed weights."""
    how = "blas"

    def __init__(self, weight, bias=None):
        self.weight, self.bias = weight, bias
        self.packed = weight.to_mkldnn() if Linear.how == "onednn" else None

    def __call__(self, x):
        if self.packed is not None:
            return F.linear(x.to_mkldnn(), self.packed,
                            None if self.bias is None else self.bias.to_mkldnn()).to_dense()
        return F.linear(x, self.weight, self.bias)


def rope_tables(grids, finest, hd):
    """Cosines and sines [tokens, hd/2] of all scales: half of a head turns with the row,
    half with the column, both stretched to the finest grid."""
    nf = hd // 4
    freq = 10000.0 ** (-2.0 * torch.arange(nf, dtype=torch.float64) / (hd // 2))
    angles = []
    for h, w in grids:
        y = np.rint(np.float32(np.arange(h)) * np.float32(finest[0] / h))
        x = np.rint(np.float32(np.arange(w)) * np.float32(finest[1] / w))
        a = torch.from_numpy(y.astype(np.float64))[:, None] * freq
        b = torch.from_numpy(x.astype(np.float64))[:, None] * freq
        angles.append(torch.cat([a[:, None, :].expand(h, w, nf),
                                 b[None, :, :].expand(h, w, nf)], -1).reshape(h * w, 2 * nf))
    angles = torch.cat(angles)
    return angles.cos().float(), angles.sin().float()


def turn(x, cos, sin):
    """x [R, H, n, hd]: interleaved pairs."""
    a, b = x[..., 0::2], x[..., 1::2]
    return torch.stack([a * cos - b * sin, a * sin + b * cos], -1).flatten(-2)


class Transformer:
    again = False  # keys and values of the text at every scale

    def __init__(self, w, depth, heads, chunks, bits, eps=1e-6):
        self.depth, self.heads, self.bits, self.eps = depth, heads, bits, eps
        self.c = w["pos_start"].shape[-1]
        self.hd = self.c // heads
        self.pos = w["pos_start"].reshape(1, self.c)
        self.level = w["lvl_embed.weight"]
        self.uncond = w["cfg_uncond"]
        self.norm = w["text_norm.weight"]
        at = lambda name: Linear(w[name + ".weight"], w.get(name + ".bias"))
        self.pool_q = w["text_proj_for_sos.ca.mat_q"][0]
        zero = torch.zeros(self.c)
        self.pool_kv = Linear(w["text_proj_for_sos.ca.mat_kv.weight"],
                              torch.cat([zero, w["text_proj_for_sos.ca.v_bias"]]))
        self.pool_proj = at("text_proj_for_sos.ca.proj")
        self.ca1, self.ca2 = at("text_proj_for_ca.0"), at("text_proj_for_ca.2")
        self.word, self.ada = at("word_embed"), at("shared_ada_lin.1")
        self.head_ada, self.head = at("head_nm.ada_lin.1"), at("head")
        self.blocks = []
        for i in range(depth):
            per = depth // chunks
            p = f"block_chunks.{i // per}.module.{i % per}." if chunks > 1 else f"blocks.{i}."
            at = lambda name: Linear(w[p + name + ".weight"], w.get(p + name + ".bias"))
            b = {"ada": w[p + "ada_gss"].reshape(6, self.c),
                 "qkv": Linear(w[p + "sa.mat_qkv.weight"],
                               torch.cat([w[p + "sa.q_bias"], zero, w[p + "sa.v_bias"]])),
                 "mul": w[p + "sa.scale_mul_1H11"].clamp(max=math.log(100)).exp(),
                 "proj": at("sa.proj"), "ca_q": at("ca.mat_q"), "ca_proj": at("ca.proj"),
                 "ca_kv": Linear(w[p + "ca.mat_kv.weight"], torch.cat([zero, w[p + "ca.v_bias"]])),
                 "norm": (w[p + "ca_norm.weight"], w[p + "ca_norm.bias"]),
                 "fc1": at("ffn.fc1"), "fc2": at("ffn.fc2")}
            self.blocks.append(b)

    def text(self, features):
        """features [T, text], of the prompt: rows of prompt and null condition."""
        rows = torch.stack([features, self.uncond[:features.shape[0]]])
        rows = rows * torch.rsqrt(rows.pow(2).mean(-1, keepdim=True) + 1e-6) * self.norm
        kv = self.pool_kv(rows)
        heads = self.pool_q.shape[0]
        k, v = (t.unflatten(-1, (heads, -1)).transpose(1, 2) for t in kv.chunk(2, -1))
        score = (self.pool_q[None, :, None] @ k.transpose(-1, -2)) / math.sqrt(self.c / heads)
        cond = self.pool_proj((score.softmax(-1) @ v).transpose(1, 2).flatten(1))
        ca = self.ca2(F.gelu(self.ca1(rows), approximate="tanh"))
        return cond, ca

    def text_keys(self, b, ca):
        return [t.unflatten(-1, (self.heads, self.hd)).transpose(1, 2).contiguous()
                for t in b["ca_kv"](ca).chunk(2, -1)]

    def block(self, b, x, ada, cos, sin, cache, cross):
        """x [R, n, c]."""
        g1, g2, s1, s2, b1, b2 = (b["ada"] + ada).unbind(1)
        ln0 = lambda t: F.layer_norm(t, (self.c,), eps=self.eps)
        y = ln0(x) * (1 + s1[:, None]) + b1[:, None]
        q, k, v = b["qkv"](y).unflatten(-1, (3, self.heads, self.hd)).permute(2, 0, 3, 1, 4)
        q = turn(F.normalize(q, dim=-1, eps=1e-12) * b["mul"], cos, sin)
        k = turn(F.normalize(k, dim=-1, eps=1e-12), cos, sin)
        if cache[0] is not None:
            k, v = torch.cat([cache[0], k], 2), torch.cat([cache[1], v], 2)
        cache[:] = k, v
        att = (q @ k.transpose(-1, -2)).softmax(-1) @ v
        x = x + g1[:, None] * b["proj"](att.transpose(1, 2).flatten(2))
        q = b["ca_q"](F.layer_norm(x, (self.c,), *b["norm"], eps=self.eps))
        q = q.unflatten(-1, (self.heads, self.hd)).transpose(1, 2)
        att = (q @ cross[0].transpose(-1, -2) / math.sqrt(self.hd)).softmax(-1) @ cross[1]
        x = x + b["ca_proj"](att.transpose(1, 2).flatten(2))
        z = ln0(x) * (1 + s2[:, None]) + b2[:, None]
        return x + g2[:, None] * b["fc2"](F.gelu(b["fc1"](z), approximate="tanh"))

    def draw(self, logits, greedy, top_p, generator):
        """logits [n, 2 bits]: a bit each [n, bits]."""
        pair = logits.unflatten(-1, (-1, 2))
        if greedy:
            return pair.argmax(-1)
        p = pair.softmax(-1)
        if top_p > 0:
            p = torch.where((p <= 1 - top_p) & (p < p.flip(-1)), torch.zeros(()), p)
        return torch.multinomial(p.flatten(0, 1), 1, generator=generator).reshape(pair.shape[:-1])

    def generate(self, features, grids, finest, cfg, tau, greedy=False, top_p=0.97, seed=0,
                 see=lambda name, x: None):
        """Codes [1, bits, H, W] of the sum over all scales."""
        generator = torch.Generator().manual_seed(seed)
        cond, ca = self.text(features)
        cross = [None if self.again else self.text_keys(b, ca) for b in self.blocks]
        see("cond", cond)
        ada = self.ada(F.silu(cond)).reshape(-1, 6, self.c)
        see("ada6", ada)
        hs, hb = self.head_ada(F.silu(cond)).reshape(-1, 2, self.c).unbind(1)
        cos, sin = rope_tables(grids, finest, self.hd)
        cache = [[None, None] for _ in self.blocks]
        full = grids[-1]
        total = torch.zeros(1, self.bits, *full)
        x, at = (cond + self.pos)[:, None], 0
        for s, (h, w) in enumerate(grids):
            n = h * w
            x = x + self.level[s]
            c, d = cos[at:at + n], sin[at:at + n]
            at += n
            for i, b in enumerate(self.blocks):
                x = self.block(b, x, ada, c, d, cache[i], cross[i] or self.text_keys(b, ca))
                see(f"sc{s}.blk{i}.out", x)
            y = F.layer_norm(x, (self.c,), eps=self.eps) * (1 + hs[:, None]) + hb[:, None]
            logits = self.head(y) / tau[s]
            logits = cfg[s] * logits[0] + (1 - cfg[s]) * logits[1] if cfg[s] != 1 else logits[0]
            see(f"sc{s}.logits", logits[None])
            bits = self.draw(logits, greedy, top_p, generator)
            see(f"sc{s}.bits", bits.reshape(1, h, w, self.bits))
            code = (2.0 * bits - 1) / math.sqrt(self.bits)
            code = code.t().reshape(1, self.bits, h, w)
            if (h, w) != tuple(full):
                code = F.interpolate(code, full, mode="bilinear", align_corners=False)
            total = total + code
            if s + 1 < len(grids):
                tok = total
                if tuple(grids[s + 1]) != tuple(full):
                    tok = F.interpolate(total, grids[s + 1], mode="bilinear", align_corners=False)
                x = self.word(tok.flatten(2).transpose(1, 2)).expand(2, -1, -1)
        see("summed_codes", total)
        return total


class Decoder:
    layout = torch.contiguous_format

    def __init__(self, w, base, mult, res, patch):
        self.w = {}
        for name, t in w.items():
            if name.startswith("decoder."):
                if t.dim() == 4:
                    t = t.contiguous(memory_format=Decoder.layout)
                self.w[name[8:].replace(".conv.", ".").replace(".norm.", ".")] = t
        self.levels, self.res, self.patch = len(mult), res, patch

    def conv(self, x, name, pad=1):
        return F.conv2d(x, self.w[name + ".weight"], self.w[name + ".bias"], padding=pad)

    def norm(self, x, name):
        c = x.shape[1]
        return F.silu(F.group_norm(x, 32 if c % 32 == 0 else 24, self.w[name + ".weight"],
                                   self.w[name + ".bias"], 1e-6), inplace=True)

    def block(self, x, name):
        h = self.conv(self.norm(x, name + ".norm1"), name + ".conv1")
        h = self.conv(self.norm(h, name + ".norm2"), name + ".conv2")
        if name + ".nin_shortcut.weight" in self.w:
            x = self.conv(x, name + ".nin_shortcut", 0)
        return h.add_(x)

    def __call__(self, x):
        x = self.conv(x.contiguous(memory_format=Decoder.layout), "conv_in")
        for i in (1, 2):
            x = self.block(x, f"mid.block_{i}")
        for level in range(self.levels - 1, -1, -1):
            for i in range(self.res + 1):
                x = self.block(x, f"up.{level}.block.{i}")
            if level >= 1 and self.patch >> level >= 1:
                x = F.interpolate(x, scale_factor=2, mode="nearest")
                x = self.conv(x, f"up.{level}.upsample.conv")
        return self.conv(self.norm(x, "norm_out"), "conv_out").clamp(-1, 1)


def to_rgb(pixels):
    return ((pixels[0] + 1) / 2 * 255).to(torch.uint8).permute(1, 2, 0).contiguous()


# ---- against the recorded tensors ----

TOLERANCE = {"cond": 1e-5, "ada6": 1e-5, "summed_codes": 5e-6}  # tests/golden/infinity/README.md
OUT, LOGITS, PIXELS = 5e-5, 2e-4, 1e-3


def check(golden, name="run-2b-square"):
    at = lambda n: os.path.join(golden, n)
    with open(at(name + ".json")) as f:
        run = json.load(f)
    want = tensors_of(at(run["file"]))
    with open(at(run["model"] + ".json")) as f:
        m = json.load(f)["model_config"]
    with open(at(run["vae"] + ".json")) as f:
        v = json.load(f)["vae_config"]
    model = Transformer(tensors_of(at(run["model"] + ".safetensors")), m["depth"],
                        m["num_heads"], m["block_chunks"], m["d_vae"])
    decoder = Decoder(tensors_of(at(run["vae"] + ".safetensors")), v["base_ch"], v["ch_mult"],
                      v["num_res_blocks"], v["patch_size"])
    bad, seen = [], 0

    def see(key, got):
        nonlocal seen
        if key not in want:
            return
        seen += 1
        if key.endswith(".bits"):
            if not torch.equal(got.to(torch.uint8), want[key]):
                bad.append(f"{key}: other bits")
            return
        limit = TOLERANCE.get(key, LOGITS if key.endswith(".logits") else OUT)
        worst = (got - want[key]).abs().max().item()
        if not worst <= limit:
            bad.append(f"{key}: off by {worst:.3g}, at most {limit:.3g} expected")

    grids = [tuple(g[1:]) for g in run["schedule"]]
    codes = model.generate(want["in.text"], grids, (64, 64), run["cfg_list"], run["tau_list"],
                           greedy=run["top_k"] == 1, see=see)
    off = (to_rgb(decoder(codes)).int() - want["img_rgb_u8"][0].int()).abs()
    seen += 1
    if off.max() > 1 or (off > 0).float().mean() >= PIXELS:
        bad.append(f"pixels: off by {off.max()}, {(off > 0).float().mean():.5f} of them")
    for line in bad:
        print(line)
    print(f"{name}: {seen} tensors compared, {len(bad)} too far off")
    return 1 if bad or seen < 20 else 0


# ---- a model directory ----

class Model:
    def __init__(self, path):
        with open(os.path.join(path, "model.json")) as f:
            m = json.load(f)
        part = lambda p: tensors_of(os.path.join(path, m["parts"][p]["file"]))
        inf, vae, pick = m["infinity"], m["vae"], m["sampling"]
        if inf["spatial_patchify"]:
            raise SystemExit(f"{path}: a patchified model is not what this skeleton runs")
        self.transformer = Transformer(part("transformer"), inf["depth"], inf["num_heads"],
                                       inf["block_chunks"], inf["bits"], inf["norm_eps"])
        self.decoder = Decoder(part("vae"), vae["base_channels"], vae["ch_mult"],
                               vae["num_res_blocks"], vae["patch"])
        self.cfg, self.tau, self.top_p = pick["cfg"], pick["tau"], pick["top_p"]
        sides = [1, 2, 4, 6, 8, 12, 16]  # 0.06M, the smallest class
        self.grids = [(s, s) for s in sides]
        self.text = torch.rand(64, inf["text_width"], generator=torch.Generator().manual_seed(1)) * 4 - 2

    def image(self, seed):
        listed = lambda v: v if isinstance(v, list) else [v] * len(self.grids)
        t0 = time.monotonic()
        codes = self.transformer.generate(self.text, self.grids, (64, 64), listed(self.cfg),
                                          listed(self.tau), top_p=self.top_p, seed=seed)
        t1 = time.monotonic()
        rgb = to_rgb(self.decoder(codes))
        t2 = time.monotonic()
        data = webp_of(rgb)
        return data, {"transformer": t1 - t0, "decoder": t2 - t1, "webp": time.monotonic() - t2,
                      "seconds": time.monotonic() - t0}


def webp_of(rgb):
    """By PIL, or by the library that PIL would use."""
    try:
        from PIL import Image
        buffer = io.BytesIO()
        Image.fromarray(rgb.numpy()).save(buffer, "WEBP", quality=90, method=4)
        return buffer.getvalue()
    except ImportError:
        import ctypes
        lib = ctypes.CDLL("libwebp.so.7")
        lib.WebPEncodeRGB.restype = ctypes.c_size_t
        lib.WebPFree.restype = None
        out = ctypes.POINTER(ctypes.c_uint8)()
        h, w, _ = rgb.shape
        n = lib.WebPEncodeRGB(ctypes.c_void_p(rgb.data_ptr()), w, h, 3 * w, ctypes.c_float(90),
                              ctypes.byref(out))
        data = ctypes.string_at(out, n)
        lib.WebPFree(out)
        return data


def blas():
    """The BLAS that this process has in memory."""
    with open("/proc/self/maps") as f:
        names = {os.path.realpath(line.split()[-1]) for line in f if "blas" in line.rsplit("/", 1)[-1]}
    return " ".join(sorted(names)) or "none"


def main():
    a = argparse.ArgumentParser(description="Infinity in PyTorch f32, timed.")
    a.add_argument("model", nargs="?")
    a.add_argument("--check", metavar="GOLDEN", help="directory of the recorded tensors")
    a.add_argument("--threads", type=int, default=2)
    a.add_argument("--rounds", type=int, default=9)
    a.add_argument("--turns", action="store_true", help="a round for every line on stdin")
    a.add_argument("--linear", choices=["blas", "onednn"], default="blas")
    a.add_argument("--original", action="store_true",
                   help="text keys at every scale, planes in the decoder")
    a.add_argument("--output", metavar="FILE", help="the last image")
    o = a.parse_args()
    Linear.how = o.linear
    Decoder.layout = torch.contiguous_format if o.original else torch.channels_last
    Transformer.again = o.original
    torch.set_num_threads(o.threads)
    torch.set_flush_denormal(True)
    with torch.inference_mode():
        if o.check:
            return check(o.check)
        if not o.model:
            a.error("a model directory is missing")
        model = Model(o.model)
        model.image(0)  # what is made at a first call is no part of it
        print(json.dumps({"torch": torch.__version__, "blas": blas(), "threads": o.threads,
                          "onednn": torch.backends.mkldnn.is_available(),
                          "linear": o.linear, "original": o.original}), flush=True)
        for seed in range(o.rounds):
            if o.turns and not sys.stdin.readline():
                break
            data, times = model.image(seed)
            print(json.dumps(times), flush=True)
        if o.output:
            with open(o.output, "wb") as f:
                f.write(data)
    return 0


if __name__ == "__main__":
    sys.exit(main())
