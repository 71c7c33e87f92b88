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
