"""Reads the images that cfgen made of the fixed prompts."""
import io
import json
import os

import numpy as np
import torch
from PIL import Image

from .prompts import flipped_key
from .run import RunError


def read_images(path, prompts, pixels, share=0.0):
    """float [n, 3, S, S] in [-1, 1], an image a prompt, made with this share of bits flipped.
    path: the manifest of cfgen-jobs export, whose images lie beside it or in images/, or a
    directory of KEY.webp or KEY.png."""
    find = in_directory(path) if os.path.isdir(path) else in_manifest(path)
    keys = [flipped_key(p.key, share) for p in prompts]
    return torch.stack([tensor_of(find(key, p.caption), key, pixels)
                        for key, p in zip(keys, prompts)])


def in_directory(path):
    def find(key, caption):
        for ending in ".webp", ".png":
            file = os.path.join(path, key + ending)
            if os.path.exists(file):
                with open(file, "rb") as f:
                    return f.read()
        raise RunError(f"{path}: no image {key}.webp or .png")
    return find


def in_manifest(path):
    with open(path, encoding="utf-8") as f:
        rows = {row["user_key"]: row for row in map(json.loads, f)}
    home = os.path.dirname(os.path.abspath(path))

    def find(key, caption):
        row = rows.get(key)
        if row is None:
            raise RunError(f"{path}: no image with the key {key}; are all jobs done?")
        if row["prompt"] != caption:
            raise RunError(f"{path}: {key} is {row['prompt']!r}, expected {caption!r}; "
                           "the prompts are of another pack or preset")
        return bytes_of(home, row)
    return find


def bytes_of(home, row):
    """A file of its own, or a part of a tar."""
    places = [os.path.join(home, *between, row["path"]) for between in ((), ("images",))]
    file = next((p for p in places if os.path.exists(p)), None)
    if file is None:
        raise RunError(f"{places[0]}: no such file, nor {places[1]}")
    with open(file, "rb") as f:
        f.seek(row["offset"])
        return f.read(row["bytes"])


def tensor_of(data, key, pixels):
    image = Image.open(io.BytesIO(data)).convert("RGB")
    if image.size != (pixels, pixels):
        raise RunError(f"{key}: {image.width} x {image.height} pixels, expected "
                       f"{pixels} x {pixels}")
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 127.5 - 1
