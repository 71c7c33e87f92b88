#!/usr/bin/env python3
"""seed_files.py [STORE_TOOL] - writes the hand-made part of the corpora of files that people
bring: PyTorch files and their pickles (from tests/golden/pth), SentencePiece models, T5
configurations, recipes, lists of prompts, and with the path of tests/store_tool WebP files.
Run it in tests/fuzz."""
import json
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

GOLDEN = Path("../golden")
MAX_SEED = 4096


def put(kind, name, data):
    path = Path("corpus") / kind
    path.mkdir(parents=True, exist_ok=True)
    if isinstance(data, (dict, list)):
        data = json.dumps(data, separators=(",", ":"))
    (path / name).write_bytes(data if isinstance(data, bytes) else data.encode())


# ---- PyTorch files ----
WHOLE = ["good/scalars", "good/strided_deflated", "good/other_name", "bad/many_entries", "bad/overlapping",
         "bad/encrypted", "bad/script", "bad/legacy", "bad/ratio", "bad/two_pickles"]
for name in WHOLE:
    data = (GOLDEN / "pth" / (name + ".pth")).read_bytes()
    put("pth", name.replace("/", "-"), data)
put("pth", "safetensors", struct.pack("<Q", 60) +
    b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}'.ljust(60) + b"x")
for path in sorted(GOLDEN.glob("pth/*/*.pth")):
    try:
        with zipfile.ZipFile(path) as z:
            name = [n for n in z.namelist() if n.endswith("/data.pkl")][0]
            if z.getinfo(name).file_size <= MAX_SEED:
                put("pickle", path.parent.name + "-" + path.stem, z.read(name))
    except (zipfile.BadZipFile, IndexError, NotImplementedError, RuntimeError):
        pass


# ---- SentencePiece models: ModelProto of sentencepiece_model.proto ----
def varint(n):
    out = b""
    while n > 127:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n])


def field(number, value):
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    if isinstance(value, float):
        return varint(number << 3 | 5) + struct.pack("<f", value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def piece(text, score=0.0, kind=1):
    return field(1, field(1, text.encode()) + field(2, score) + field(3, kind))


def spm(model_type, extra=b"", charsmap=b"", trainer=b""):
    p = piece("<unk>", 0.0, 2) + piece("<s>", 0.0, 3) + piece("</s>", 0.0, 3)
    p += b"".join(piece(w, -float(i)) for i, w in enumerate(["\u2581", "a", "c", "t", "at", "cat", "\u2581cat", ","]))
    p += extra
    normalizer = field(1, b"identity") + (field(2, charsmap) if charsmap else b"") + field(3, 1) + field(4, 1)
    return p + field(2, field(3, model_type) + trainer) + field(3, normalizer)


put("spm", "unigram", spm(1))
put("spm", "bpe", spm(2))
put("spm", "word", spm(3))
put("spm", "char", spm(4))
put("spm", "bytes", spm(2, b"".join(piece("<0x%02X>" % i, -9.0, 6) for i in range(256)), b"", field(35, 1)))
put("spm", "defined", spm(1, piece("12", 0.0, 4) + piece("xx", 0.0, 5)))
put("spm", "twice", spm(1, piece("a")))
put("spm", "no-unknown", piece("a"))
put("spm", "nan", spm(1, piece("zz", float("nan"))))
put("spm", "charsmap", spm(1, b"", struct.pack("<I", 4) + b"\0\0\0\0" + b"x\0"))

# ---- T5 configurations ----
t5 = {"model_type": "t5", "d_model": 2048, "d_kv": 64, "num_heads": 32, "d_ff": 5120, "num_layers": 24,
      "vocab_size": 32128, "feed_forward_proj": "gated-gelu", "layer_norm_epsilon": 1e-6,
      "relative_attention_num_buckets": 32}
put("t5_config", "flan-t5-xl", t5)
put("t5_config", "relu", dict(t5, feed_forward_proj="relu"))
put("t5_config", "distance", dict(t5, relative_attention_max_distance=128, is_encoder_decoder=True))
put("t5_config", "wide", dict(t5, d_model=2**40))
put("t5_config", "no-list", [t5])

# ---- recipes ----
put("recipe", "all", {"model": "m", "cfg": [3, 4.0], "tau": 0.5, "top_k": 900, "top_p": 0.97, "quality": 90,
                      "cfg_insertion_layer": [0, -5], "flip_bits": 0.1, "lossless": False, "sharp_yuv": True,
                      "method": 4, "strict_size": True})
put("recipe", "nulls", {"cfg": None, "tau": 1})
put("recipe", "numbers", '{"cfg":-0.0,"tau":3e0,"top_k":0}')
put("recipe", "unknown", {"cgf": 3})
put("recipe", "empty", "{}")
put("recipe", "range", {"tau": 1e300})

# ---- lists of prompts; the first byte says the form ----
put("import", "csv", 'cprompt,seed,width,height,tags\r\n"a ""cat"", sat",7,512,512,x\r\nb,,,,\r\n')
put("import", "csv-bare-quote", 'cprompt\na "b" c\n')
put("import", "tsv", "tprompt\tseeds\tnote\na\t0..9:2\tz\nb\t1,5\t\n")
put("import", "jsonl", 'j{"prompt":"a","seed":1,"recipe":{"cfg":3},"k":[1,{"x":null}]}\n{"prompt":"b"}\n')
put("import", "jsonl-broken", 'j{"prompt":"a"\n[]\n{"prompt":1}\n')
put("import", "text", "xa cat\n\na dog\n")
put("import", "auto", 'a{"prompt":"a"}\n')
put("import", "bom", b"c\xef\xbb\xbfprompt\na\n")
put("import", "utf8", b"xa\xff\xfeb\n\0\n")
put("import", "gzip", b"a\x1f\x8b\x08\0\0\0\0\0\0\3KT\xe2\2\0\x7a\x7a\x6f\xed\3\0\0\0")

# ---- WebP files ----
if len(sys.argv) > 1:
    for level in ("full", "minimal", "none"):
        out = Path("corpus/webp") / level
        out.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run([sys.argv[1], "write", level, str(out)], check=True)
