"""st_read.py FILE - FILE holds what st_write_test.c keeps, says the reference's reader."""
import sys

from safetensors import deserialize

WANT = {  # name: type, shape, and bytes that count up from a first one
    "z.weight": ("F32", [3, 5], 60, 1),
    "a.weight": ("BF16", [32, 3], 192, 7),
    "scalar": ("I64", [], 8, 50),
    "empty": ("F16", [0, 7], 0, 0),
    "m\u00e9 \"q\"": ("U8", [3], 3, 9),
}

with open(sys.argv[1], "rb") as f:
    found = dict(deserialize(f.read()))
assert sorted(found) == sorted(WANT), sorted(found)
for name, (dtype, shape, size, first) in WANT.items():
    assert found[name]["dtype"] == dtype, name
    assert list(found[name]["shape"]) == shape, name
    assert bytes(found[name]["data"]) == bytes((first + i) % 256 for i in range(size)), name
