"""Reads and writes safetensors files: the tensors of a model by name.

    uint64 n, little-endian | n bytes of JSON | data
    JSON: {"name": {"dtype": "BF16", "shape": [3, 4], "data_offsets": [begin, end]}, ...}

Debian 12 has no module for them. A part of a model is one file, or where that would be too
large a directory of shards and an index, model.safetensors.index.json, as large checkpoints
are published."""
import json
import os
import struct

import numpy as np
import torch

INDEX = "model.safetensors.index.json"
SHARD = 15 << 20         # bytes of tensors in a file at most
STORED_AS = {torch.float32: "F32", torch.bfloat16: "BF16", torch.int32: "I32",
             torch.uint8: "U8"}
DTYPES = {name: dtype for dtype, name in STORED_AS.items()}


def write(path, tensors):
    """Each tensor in its own type. The same tensors give the same bytes."""
    header, at = {}, 0
    for name, t in sorted(tensors.items()):
        size = t.numel() * t.element_size()
        header[name] = {"dtype": STORED_AS[t.dtype], "shape": list(t.shape),
                        "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)   # so that the data is aligned
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for _, t in sorted(tensors.items()):
            f.write(bytes_of(t))
        f.flush()
        os.fsync(f.fileno())


def bytes_of(t):
    t = t.detach().cpu().contiguous()
    if t.dtype == torch.bfloat16:     # NumPy has no such type
        t = t.view(torch.int16)
    return t.numpy().tobytes()


def write_part(directory, stem, tensors):
    """STEM.safetensors in the directory, or STEM/ with shards; the names of the files."""
    if sum(t.numel() * t.element_size() for t in tensors.values()) <= SHARD:
        write(os.path.join(directory, stem + ".safetensors"), tensors)
        return [stem + ".safetensors"]
    os.mkdir(os.path.join(directory, stem))
    return [f"{stem}/{name}" for name in write_shards(os.path.join(directory, stem), tensors)]


def write_shards(directory, tensors):
    """Shards and their index; or one model.safetensors where that is small enough. Returns
    the names of the files."""
    shards, room = [], 0
    for name, t in sorted(tensors.items()):
        size = t.numel() * t.element_size()
        if size > room:
            shards.append({})
            room = SHARD
        shards[-1][name] = t
        room -= size
    if len(shards) == 1:
        write(os.path.join(directory, "model.safetensors"), tensors)
        return ["model.safetensors"]
    files = [f"model-{i:05}-of-{len(shards):05}.safetensors" for i in range(1, len(shards) + 1)]
    place = {}
    for file, shard in zip(files, shards):
        write(os.path.join(directory, file), shard)
        place.update(dict.fromkeys(shard, file))
    total = sum(t.numel() * t.element_size() for t in tensors.values())
    with open(os.path.join(directory, INDEX), "w", encoding="utf-8") as f:
        json.dump({"metadata": {"total_size": total}, "weight_map": place}, f, indent=1)
        f.write("\n")
    return files + [INDEX]


def read(path):
    """{name: tensor}, each in its stored type."""
    with open(path, "rb") as f:
        (n,) = struct.unpack("<Q", f.read(8))
        header = json.loads(f.read(n))
        data = f.read()
    header.pop("__metadata__", None)
    return {name: tensor_of(data, about) for name, about in header.items()}


def tensor_of(data, about):
    begin, end = about["data_offsets"]
    raw = torch.from_numpy(np.frombuffer(data, np.uint8)[begin:end].copy())
    return raw.view(DTYPES[about["dtype"]]).view(about["shape"])


def read_part(path):
    """A file, or all the shards of a directory."""
    if not os.path.isdir(path):
        return read(path)
    files = sorted(name for name in os.listdir(path) if name.endswith(".safetensors"))
    return {k: v for file in files for k, v in read(os.path.join(path, file)).items()}
