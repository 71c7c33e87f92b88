#!/usr/bin/python3
"""make.py DIR - writes the .pth fixtures of this directory, with torch (any version from
1.13 on) and plain zip files around hand-made pickles.

    good/NAME.pth   files of torch.save
    good/NAME.txt   what they hold: a line for each tensor: name type [shape] sha256 of its
                    dense bytes
    bad/NAME.pth    hostile and damaged files
    bad/NAME.txt    a part of the message that refuses them

The committed copies were made by torch 1.13.1; tests/pth_torch.sh makes fresh ones and
compares where torch is present.
"""
import collections
import hashlib
import io
import os
import pickle
import struct
import sys
import zipfile

TYPES = {
    "float32": "F32", "float16": "F16", "bfloat16": "BF16", "float64": "F64", "int8": "I8",
    "uint8": "U8", "int16": "I16", "int32": "I32", "int64": "I64", "bool": "BOOL",
}


# ---- good files, by torch --------------------------------------------------------------

def ramp(torch, shape, dtype, start=0):
    n = 1
    for d in shape:
        n *= d
    return ((torch.arange(n) + start) % 251 - 7).reshape(shape).to(dtype)


def dense_bytes(torch, t):
    t = t.detach().contiguous()
    if t.dtype == torch.bfloat16:
        t = t.view(torch.int16)
    return t.numpy().tobytes()


def flat(torch, value, name=()):
    if isinstance(value, torch.Tensor):
        yield ".".join(name), value
    elif isinstance(value, dict):
        for k, v in value.items():
            yield from flat(torch, v, name + (str(k),))
    elif isinstance(value, (list, tuple)):
        for i, v in enumerate(value):
            yield from flat(torch, v, name + (str(i),))


def describe(torch, value):
    lines = []
    for name, t in flat(torch, value):
        kind = TYPES[str(t.dtype).replace("torch.", "")]
        shape = "[" + ", ".join(str(d) for d in t.shape) + "]"
        digest = hashlib.sha256(dense_bytes(torch, t)).hexdigest()
        lines.append("%s\t%s\t%s\t%s\n" % (name, kind, shape, digest))
    return "".join(sorted(lines, key=lambda s: s.split("\t")[0].encode()))


def good_files(torch):
    f32, bf16, f16 = torch.float32, torch.bfloat16, torch.float16
    base = ramp(torch, (6, 8), f32)
    net = torch.nn.Linear(3, 2)
    with torch.no_grad():
        net.weight.copy_(ramp(torch, (2, 3), f32))
        net.bias.copy_(ramp(torch, (2,), f32, 40))
    state = collections.OrderedDict(
        [("word_embed.weight", ramp(torch, (4, 3), f32)), ("pos_start", ramp(torch, (1, 1, 4), f32, 9))])
    yield "flat", dict(state)
    yield "trainer", {"epoch": 3, "iter": 2**40, "seed": 2**63, "rate": 1e-4, "note": "a\u00e9", "none": None,
                      "on": True, "milestones": [1, 2.5, "x"], "scales": {0.5: [1, 2], (1, 2): 3},
                      "trainer": {"gpt_fsdp": state, "gpt_ema_fsdp": None}, "args": {"shape": torch.Size([1, 2])}}
    yield "vae", {"vae": {"decoder.conv_in.conv.weight": ramp(torch, (2, 2, 3, 3), f32)},
                  "ema": {"decoder.conv_in.conv.weight": ramp(torch, (2, 2, 3, 3), f32, 5)},
                  "model_ema": {"a": ramp(torch, (2,), f32)}}
    yield "types", {k: ramp(torch, (2, 3), getattr(torch, k)) for k in TYPES}
    yield "strided", {"transposed": base.t(), "columns": base[:, 1:6:2], "rows": base[2:4],
                      "permuted": ramp(torch, (2, 3, 4), f16).permute(2, 0, 1),
                      "expanded": ramp(torch, (1, 3), bf16).expand(5, 3),
                      "scalar_expanded": torch.tensor(2.5).expand(2, 2), "flipped": base.t()[3],
                      "one": base[5:6, 3:4]}
    yield "shared", {"a": base, "b": base, "tail": base.view(-1)[40:], "again": {"a": base.view(48)}}
    yield "scalars", {"zero_dim": torch.tensor(3.25), "count": torch.tensor(7), "empty": torch.zeros(0, 4),
                      "empty_middle": torch.zeros(2, 0, 3, dtype=f16), "yes": torch.tensor(True)}
    yield "parameter", {"p": torch.nn.Parameter(ramp(torch, (2, 2), f32)), "module": net.state_dict()}
    yield "keys", {0: ramp(torch, (2,), f32), -3: {"x": ramp(torch, (1,), f32)},
                   "list": [ramp(torch, (1,), f32, 1), (ramp(torch, (1,), f32, 2),)]}
    yield "nothing", {"epoch": 1}
    yield "tensor_types", {"w": ramp(torch, (2,), f32), "dtype": torch.float32, "device": torch.device("cpu")}


def repack(blob, method, skip=()):
    """The same entries, packed by Python's zipfile."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(blob)) as src, zipfile.ZipFile(out, "w", method) as dst:
        for i in src.infolist():
            if i.filename.split("/", 1)[1] not in skip:
                dst.writestr(zipfile.ZipInfo(i.filename), src.read(i), method)
    return out.getvalue()


def write_good(torch, folder):
    os.makedirs(folder, exist_ok=True)

    def put(name, blob, text):
        with open(os.path.join(folder, name + ".pth"), "wb") as f:
            f.write(blob)
        with open(os.path.join(folder, name + ".txt"), "w") as f:
            f.write(text)

    for name, value in good_files(torch):
        for protocol in (2, 4) if name in ("trainer", "parameter") else (2,):
            out = io.BytesIO()
            torch.save(value, out, pickle_protocol=protocol)
            text = describe(torch, value)
            put(name if protocol == 2 else name + "_p4", out.getvalue(), text)
        if name in ("strided", "trainer"):
            put(name + "_deflated", repack(out.getvalue(), zipfile.ZIP_DEFLATED), text)
        if name == "flat":
            put("other_name", repack(out.getvalue(), zipfile.ZIP_STORED, ("version", "byteorder"))
                .replace(b"archive/", b"q 3_net/"), text)


# ---- bad files, by hand ----------------------------------------------------------------

def text(s):
    b = s.encode()
    return b"X" + struct.pack("<I", len(b)) + b


def number(n):
    return b"J" + struct.pack("<i", n) if -2**31 <= n < 2**31 else b"\x8a\x08" + struct.pack("<q", n)


def ints(*v):
    return b"(" + b"".join(number(n) for n in v) + b"t"


def storage(key="0", count=6, kind="FloatStorage", word="storage", place="cpu"):
    return b"(" + text(word) + b"ctorch\n" + kind.encode() + b"\n" + text(key) + text(place) + number(count) + b"tQ"


def tensor(store=None, offset=0, size=(2, 3), stride=(3, 1)):
    return (b"ctorch._utils\n_rebuild_tensor_v2\n(" + (store or storage()) + number(offset) + ints(*size) +
            ints(*stride) + b"\x89ccollections\nOrderedDict\n)RtR")


def state(*pairs):
    return b"\x80\x02}(" + b"".join(text(k) + v for k, v in pairs) + b"u."


DATA = bytes(range(24))


def archive(pkl, entries=None, method=zipfile.ZIP_STORED, top="archive"):
    out = io.BytesIO()
    entries = {"data/0": DATA} if entries is None else entries
    with zipfile.ZipFile(out, "w", method) as z:
        if pkl is not None:
            z.writestr(zipfile.ZipInfo(top + "/data.pkl"), pkl, method)
        for name, data in entries.items():
            z.writestr(zipfile.ZipInfo(top + "/" + name), data, method)
    return out.getvalue()


def patch_directory(blob, entry, **fields):
    """Changes fields of an entry's record in the central directory (and its local one)."""
    at = blob.rindex(b"PK\1\2", 0, blob.rindex(entry))
    b = bytearray(blob)
    local = struct.unpack_from("<I", b, at + 42)[0]
    for where, v in fields.items():
        central, loc = {"packed": (20, 18), "size": (24, 22), "method": (10, 8), "flags": (8, 6), "crc": (16, 14)}[where]
        form = "<H" if where in ("method", "flags") else "<I"
        struct.pack_into(form, b, at + central, v)
        struct.pack_into(form, b, local + loc, v)
    return bytes(b)


def overlapping():
    """Many directory entries that all name the same packed bytes."""
    one = archive(state(("w", tensor())))
    end = one.rindex(b"PK\5\6")
    first = one.index(b"PK\1\2")
    records = one[first:end]
    last = records[records.rindex(b"PK\1\2"):]
    more = b"".join(last.replace(b"data/0", b"data/%c" % (49 + i)) for i in range(60))
    count = one.count(b"PK\1\2") + 60
    tail = struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, count, count, len(records) + len(more), first, 0)
    return one[:first] + records + more + tail


def many_entries():
    """An end record that lists two thousand million entries (64-bit form)."""
    one = archive(state(("w", tensor())))
    end = one.rindex(b"PK\5\6")
    first = one.index(b"PK\1\2")
    z64 = struct.pack("<4sQHHIIQQQQ", b"PK\6\6", 44, 45, 45, 0, 0, 1 << 31, 1 << 31, (1 << 31) * 46, first)
    loc = struct.pack("<4sIQI", b"PK\6\7", 0, end, 1)
    return one[:end] + z64 + loc + struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, 0xffff, 0xffff, 0xffffffff, 0xffffffff, 0)


def memo_bomb():
    """Ten lists, each of ten times the one before: 10^10 places."""
    p = b"\x80\x02](" + tensor() + b"eq\x00"
    for i in range(10):
        p += b"](" + b"h%c" % i * 10 + b"eq%c" % (i + 1)
    return p + b"."


def bad_files():
    t = tensor()
    good = archive(state(("w", t)))
    one = state(("w", t))
    deflated = archive(one, method=zipfile.ZIP_DEFLATED)
    yield "os_system", archive(b"\x80\x02cposix\nsystem\nX\x04\0\0\0true\x85R."), "posix.system"
    yield "os_system_4", archive(b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x04true\x85R."), "posix.system"
    yield "eval", archive(b"\x80\x02c__builtin__\neval\n."), "__builtin__.eval"
    yield "builtin_in_allowed_module", archive(b"\x80\x02ctorch\nload\n."), "torch.load"
    yield "dotted_name", archive(b"\x80\x04\x8c\x05torch\x8c\x09os.system\x93X\x01\0\0\0x\x85R."), "torch.os.system"
    yield "class_inst", archive(b"\x80\x02(iposix\nsystem\n."), "opcode 0x69"
    yield "newobj", archive(b"\x80\x02ctorch\nSize\n)\x81."), "opcode 0x81"
    yield "ext", archive(b"\x80\x02\x82\x01."), "opcode 0x82"
    yield "protocol_0", archive(b"(dp0\n."), "opcode 0x70"
    yield "protocol_9", archive(b"\x80\x09}."), "pickle protocol 9"
    yield "deep", archive(b"\x80\x02" + b"]" * 5000 + b"a" * 4999 + b"."), "nested deeper"
    yield "deep_tuples", archive(b"\x80\x02)" + b"\x85" * 1000 + b"."), "nested deeper"
    yield "self", archive(b"\x80\x02]q\0h\0a."), "within itself"
    yield "memo_bomb", archive(memo_bomb()), "more than"
    yield "memo_place", archive(b"\x80\x02}r\xff\xff\xff\xff."), "memo"
    yield "memo_missing", archive(b"\x80\x02h\x05."), "memo"
    yield "call_of_text", archive(b"\x80\x02X\x01\0\0\0x)R."), "a call of what is no function"
    yield "stack_empty", archive(b"\x80\x020."), "empty stack"
    yield "mark_missing", archive(b"\x80\x02}u."), "mark"
    yield "odd_items", archive(b"\x80\x02}(K\1u."), "key without a value"
    yield "stop_missing", archive(b"\x80\x02}"), "ends within"
    yield "text_too_long", archive(b"\x80\x02X\xff\xff\xff\x7fab."), "ends within"
    yield "id_of_wrong_shape", archive(state(("w", b"K\1Q"))), "persistent id"
    yield "id_of_list", archive(state(("w", b"](" + text("storage") + b"ctorch\nFloatStorage\n" + text("0") +
                                         text("cpu") + number(6) + b"eQ"))), "persistent id"
    yield "id_of_other_word", archive(state(("w", storage(word="module")))), "names no storage"
    yield "id_of_other_class", archive(state(("w", storage(kind="float32")))), "names no storage"
    yield "storage_unknown", archive(state(("w", storage(kind="QInt8Storage")))), "torch.QInt8Storage"
    yield "storage_negative", archive(state(("w", storage(count=-1)))), "names no storage"
    yield "storage_overflows", archive(state(("w", tensor(storage(count=2**62))))), "overflows"
    yield "size_lies", archive(state(("w", tensor(storage(count=7))))), "has 24 bytes, expected 28"
    yield "beyond", archive(state(("w", tensor(size=(2, 4), stride=(3, 1))))), "beyond its storage"
    yield "offset_beyond", archive(state(("w", tensor(offset=1)))), "beyond its storage"
    yield "offset_huge", archive(state(("w", tensor(offset=2**62)))), "beyond its storage"
    yield "offset_negative", archive(state(("w", tensor(offset=-1)))), "offset"
    yield "stride_negative", archive(state(("w", tensor(stride=(-3, 1))))), "integer >= 0"
    yield "stride_huge", archive(state(("w", tensor(stride=(2**62, 1))))), "beyond its storage"
    yield "stride_missing", archive(state(("w", tensor(stride=(1,))))), "more strides"
    yield "size_overflows", archive(state(("w", tensor(size=(2**40, 2**40), stride=(0, 0))))), "overflows"
    yield "expanded", archive(state(("w", tensor(size=(2**20, 2**10), stride=(0, 0))))), "expands"
    yield "dimensions", archive(state(("w", tensor(size=(1,) * 7, stride=(1,) * 7)))), "more than 6 dimensions"
    yield "key_with_way_out", archive(state(("w", tensor(storage(key="../data/0"))))), "plain name"
    yield "storage_missing", archive(one, {}), "archive/data/0 is missing"
    yield "storage_in_other_top", archive(one, {"../archive/data/0": DATA}), "archive/data/0 is missing"
    yield "odd_key", archive(b"\x80\x02}N" + t + b"s."), "neither text nor an integer"
    yield "twice", archive(state(("a.b", t), ("a", b"}(" + text("b") + t + b"u"))), "a.b comes twice"
    yield "twice_number", archive(state(("1", t))[:-2] + b"K\1" + t + b"u."), "1 comes twice"
    yield "name_long", archive(state(("x" * 600, t))), "600 bytes"
    yield "name_empty", archive(state(("", t))), "name of 0 bytes"
    yield "name_control", archive(state(("a\nb", t))), "control character"
    yield "build_on_tensor", archive(state(("w", t + b"}b"))), "attributes"
    yield "parameter_of_text", archive(state(("w", b"ctorch._utils\n_rebuild_parameter\n(" + text("x") + b"\x88}tR"))), \
        "parameter without a tensor"
    yield "two_pickles", archive(one, {"data/0": DATA, "data.pkl": one}), "expected one data.pkl"
    yield "no_pickle", archive(None), "without data.pkl"
    yield "script", archive(one, {"data/0": DATA, "constants.pkl": b"\x80\x02).", "code/__torch__.py": b"x"}), "TorchScript"
    yield "big_endian", archive(one, {"data/0": DATA, "byteorder": b"big"}), "byte order"
    yield "encrypted", patch_directory(good, b"archive/data/0", flags=1), "encrypted"
    yield "method", patch_directory(good, b"archive/data/0", method=12), "compression method 12"
    yield "entry_size_lies", patch_directory(good, b"archive/data/0", size=1 << 30), "packed as 24"
    yield "entry_too_long", patch_directory(good, b"archive/data/0", size=1 << 30, packed=1 << 30), "in a file of"
    yield "ratio", patch_directory(deflated, b"archive/data.pkl", size=1 << 29), "packed as"
    yield "pickle_bomb", archive(b"\x80\x02" + b"N0" * (40 << 20), {}, zipfile.ZIP_DEFLATED), "data.pkl of"
    yield "overlapping", overlapping(), "overlap"
    yield "many_entries", many_entries(), "zip directory of 2147483648 entries"
    yield "shared_too_often", archive(
        b"\x80\x02](" + b"".join(tensor(storage(count=20000), size=(20000,), stride=(1,)) for _ in range(600)) + b"e.",
        {"data/0": bytes(80000)}, zipfile.ZIP_DEFLATED), "so often"
    yield "cut_short", good[:-30], "cut short"
    yield "cut_to_head", good[:100], "cut short"
    yield "empty", b"", "empty: was it downloaded?"
    yield "legacy", b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.", "before 1.6"
    yield "plain_pickle", pickle.dumps({"a": 1}, 2), "plain pickle"
    yield "tar", b"pickle".ljust(257, b"\0") + b"ustar".ljust(300, b"\0"), "tar archive"
    yield "html", b"<!DOCTYPE html><title>404</title>", "a web page"


def write_bad(folder):
    os.makedirs(folder, exist_ok=True)
    for name, blob, message in bad_files():
        with open(os.path.join(folder, name + ".pth"), "wb") as f:
            f.write(blob)
        with open(os.path.join(folder, name + ".txt"), "w") as f:
            f.write(message + "\n")
    # Reads that fail later, for tests that know the names: data changed under a checksum.
    broken = bytearray(archive(state(("w", tensor()))))
    broken[broken.index(DATA)] ^= 1
    with open(os.path.join(folder, "checksum.late"), "wb") as f:
        f.write(broken)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--bad"]:
        write_bad(os.path.join(sys.argv[2], "bad"))
    else:
        import torch as the_torch
        write_good(the_torch, os.path.join(sys.argv[1], "good"))
        write_bad(os.path.join(sys.argv[1], "bad"))
