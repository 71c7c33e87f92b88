#!/usr/bin/env python3
"""Writes the hand-made part of tests/fuzz/corpus: one small file per thing that a parser
must tell apart. Run it in tests/fuzz; inputs found by fuzzing are kept beside them."""
import json
import struct
from pathlib import Path

ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def put(kind, name, data):
    path = Path("corpus") / kind
    path.mkdir(parents=True, exist_ok=True)
    (path / name).write_bytes(data if isinstance(data, bytes) else data.encode())


def st(name, header, data=0):
    if not isinstance(header, (str, bytes)):
        header = json.dumps(header, separators=(",", ":"))
    if isinstance(header, str):
        header = header.encode()
    put("safetensors", name, struct.pack("<Q", len(header)) + header + bytes(range(data)))


def t(dtype, shape, begin, end):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


st("empty", {})
st("one", {"a": t("F32", [2, 3], 0, 24)}, 24)
st("scalar-and-none", {"s": t("I64", [], 0, 8), "n": t("F16", [0, 5], 8, 8)}, 8)
st("metadata", {"__metadata__": {"format": "pt"}, "a": t("BF16", [2], 0, 4)}, 4)
st("overlap", {"a": t("U8", [2], 0, 2), "b": t("U8", [2], 1, 3)}, 3)
st("gap", {"a": t("U8", [2], 0, 2), "b": t("U8", [1], 3, 4)}, 4)
st("overflow", {"a": t("F64", [2**61, 8], 0, 0)})
st("rank7", {"a": t("U8", [1] * 7, 0, 1)}, 1)
st("dtype", {"a": t("F8_E4M3", [1], 0, 1)}, 1)
st("duplicate", '{"a":%s,"\\u0061":%s}' % ((json.dumps(t("U8", [1], 0, 1)),) * 2), 1)
st("huge-number", '{"a":{"dtype":"U8","shape":[1e400],"data_offsets":[0,1]}}', 1)
st("utf8", b'{"\xff":{}}')
st("deep", '{"a":' + "[" * 3000 + "]" * 3000 + "}")
put("safetensors", "length-max", b"\xff" * 8 + b"{}")
put("safetensors", "nothing", b"")

put("index", "good", json.dumps({"metadata": {"total_size": 4},
                                 "weight_map": {"a": "s1", "b": "s2"}}))
put("index", "swapped", json.dumps({"weight_map": {"a": "s2", "b": "s1"}}))
put("index", "half", json.dumps({"weight_map": {"a": "s1"}}))
put("index", "up", json.dumps({"weight_map": {"a": "../s1", "b": "s2"}}))
put("index", "self", json.dumps({"weight_map": {"a": "i.index.json"}}))
put("index", "no-map", "{}")

one = lambda f: {"file": f, "sha256": ABC}
manifest = {
    "format": "cfgen-model", "version": 1, "name": "n", "generator": "infinity",
    "parts": {"transformer": one("t"), "vae": one("v"), "tokenizer": one("k"),
              "text_encoder": {"dir": "te", "files": [one("te/a")]}},
    "infinity": {}, "vae": {}, "sizes": {}, "text": {}, "sampling": {}}
put("manifest", "good", json.dumps(manifest))
put("manifest", "up", json.dumps(manifest).replace('"te/a"', '"te/../t"'))
put("manifest", "unknown", json.dumps({**manifest, "extra": 1}))
put("manifest", "version", json.dumps({**manifest, "version": 2}))
put("manifest", "same-file", json.dumps(manifest).replace('"v"', '"t"'))
put("manifest", "large", json.dumps({
    **manifest, "hold": "map", "source": {"transformer": "a.pth"},
    "parts": {**manifest["parts"],
              "vae": {**one("v"), "bytes": 3, "sample": ABC}}}))
put("manifest", "longer", json.dumps(manifest).replace(
    '"file": "v"', '"bytes": 4, "file": "v"'))


def listing(name, shapes):
    put("detect", name, "".join(
        " ".join([k, *map(str, v)]) + "\n" for k, v in shapes.items()))


def transformer(c, depth, heads, mlp, dv, text, block):
    one_linear = lambda k, n, i: {k + ".weight": [n, i], k + ".bias": [n]}
    keys = {"cfg_uncond": [6, text], "pos_start": [1, 1, c], "text_norm.weight": [text],
            "text_proj_for_sos.ca.mat_q": [1, 2, c // 2],
            "text_proj_for_sos.ca.v_bias": [c],
            "text_proj_for_sos.ca.mat_kv.weight": [2 * c, text],
            "lvl_embed.weight": [15, c]}
    for k, n, i in (("text_proj_for_sos.ca.proj", c, c), ("text_proj_for_ca.0", c, text),
                    ("text_proj_for_ca.2", c, c), ("word_embed", c, dv),
                    ("shared_ada_lin.1", 6 * c, c), ("head_nm.ada_lin.1", 2 * c, c),
                    ("head", 2 * dv, c)):
        keys |= one_linear(k, n, i)
    for b in range(depth):
        p = block(b)
        keys |= {p + "ada_gss": [1, 1, 6, c], p + "sa.scale_mul_1H11": [1, heads, 1, 1],
                 p + "sa.q_bias": [c], p + "sa.v_bias": [c], p + "ca.v_bias": [c],
                 p + "sa.mat_qkv.weight": [3 * c, c], p + "ca.mat_kv.weight": [2 * c, c],
                 p + "ca_norm.weight": [c], p + "ca_norm.bias": [c]}
        for k, n, i in (("sa.proj", c, c), ("ca.mat_q", c, c), ("ca.proj", c, c),
                        ("ffn.fc1", mlp, c), ("ffn.fc2", c, mlp)):
            keys |= one_linear(p + k, n, i)
    return keys


def tokenizer(c, bits, inner):
    keys = {}

    def conv(k, n, i, size=3):
        keys[k + inner("conv") + ".weight"] = [n, i, size, size]
        keys[k + inner("conv") + ".bias"] = [n]

    def norm(k):
        keys[k + inner("norm") + ".weight"] = keys[k + inner("norm") + ".bias"] = [c]

    conv("decoder.conv_in", c, bits)
    for block in ("mid.block_1", "mid.block_2", "up.1.block.0", "up.1.block.1",
                  "up.0.block.0", "up.0.block.1"):
        for half in "12":
            norm(f"decoder.{block}.norm{half}")
            conv(f"decoder.{block}.conv{half}", c, c)
    conv("decoder.up.1.upsample.conv", c, c)
    norm("decoder.norm_out")
    conv("decoder.conv_out", 3, c)
    return keys


flat = transformer(16, 2, 2, 32, 8, 24, lambda b: f"blocks.{b}.")
chunks = transformer(16, 2, 2, 32, 8, 24, lambda b: f"block_chunks.{b}.module.0.")
listing("transformer", flat)
listing("chunks", chunks)
listing("nested", {"trainer.gpt_fsdp." + k: v for k, v in flat.items()})
listing("average", {"model_ema.word_embed.weight": [16, 8]})
listing("tokenizer", tokenizer(24, 8, lambda k: "." + k))
listing("plain", tokenizer(24, 8, lambda k: ""))
listing("both", tokenizer(24, 2, lambda k: "." + k) | chunks)
listing("huge", {k: [n * 2**31 for n in v] for k, v in flat.items()})
listing("encoder", {"model.embed_tokens.weight": [9, 4], "x.embed_tokens.weight": [1]})
