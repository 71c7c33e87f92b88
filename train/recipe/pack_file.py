"""A pack as one file that travels: to another machine, or into a tree of tests.

    squeeze("pack", "pack.tar.xz", sets=["noto"])      directory -> file
    unsqueeze("pack.tar.xz", "pack")                   file -> directory

The file is a plain tar.xz, so that `tar xf` opens it too. LZMA is told that the data comes in
units of four bytes (lp = 2): flat drawings repeat whole pixels, and the pixels as they are
take 2.0 KB a picture, where colour planes take 3.6 and differences from neighbours 2.8 to 5.2.
All eight sets, 8,493 pictures of 128 x 128, are 15.7 MB after about 70 seconds. Lossless,
except that colours that nobody sees (alpha 0) become black.
"""

import hashlib
import json
import lzma
import os
import shutil
import tarfile
import tempfile

import numpy as np

# The order in the file and of the renames: a directory with a pack.json is complete.
REQUIRED = ["pictures.rgba", "pictures.jsonl", "NOTICE", "pack.json"]
OPTIONAL = ["spm.model", "words.json"]

_FILTERS = [
    {"id": lzma.FILTER_LZMA2, "preset": 6, "dict_size": 1 << 26, "lc": 0, "lp": 2, "pb": 2}
]
_BLOCK = 256  # pictures at a time
_SIZES = range(1, 1025)  # of a picture's side, that a pack may claim
_MOST_PICTURES = 1 << 20


class PackFileError(Exception):
    """A pack or a file of one is not as it should be; the message says where."""


def squeeze(pack_dir, file, sets=None):
    """Writes the pack, or the pictures of some of its sets, to one file."""
    with tempfile.TemporaryDirectory(dir=os.path.dirname(os.path.abspath(file))) as work:
        _copy_pack(pack_dir, work, sets)
        names = [name for name in OPTIONAL + REQUIRED if os.path.exists(os.path.join(work, name))]
        part = os.path.join(work, "part")
        with lzma.open(part, "wb", filters=_FILTERS) as packed:
            _write_tar(packed, work, names)
        os.replace(part, file)


def unsqueeze(file, pack_dir):
    """Makes the directory of a pack from a file; checks sizes and the hash of the pictures."""
    os.makedirs(pack_dir, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=pack_dir) as work:
        try:
            with tarfile.open(file, "r:xz") as tar:
                _read_tar(tar, work)
        except (tarfile.TarError, lzma.LZMAError, EOFError) as error:
            raise PackFileError(f"{file}: {error}") from error
        _check_pack(work, file)
        _move_pack(work, pack_dir)


# --- directory -> file


def _read_json(*path):
    with open(os.path.join(*path), encoding="utf-8") as file:
        return json.load(file)


def _copy_pack(source, target, sets):
    pack = _read_json(source, "pack.json")
    with open(os.path.join(source, "pictures.jsonl"), encoding="utf-8") as lines:
        pictures = [json.loads(line) for line in lines]
    if sets is not None:
        pictures = [picture for picture in pictures if picture["set"] in sets]
        _check_sets(sets, pack)
        pack = _narrowed(pack, sets)
    pack["sha256"] = _copy_pictures(source, target, pack["size"], [p["i"] for p in pictures])
    pack["pictures"] = len(pictures)
    pack["concepts"] = len({picture["hex"] for picture in pictures})
    _write_pictures(pictures, os.path.join(target, "pictures.jsonl"))
    with open(os.path.join(target, "pack.json"), "w", encoding="utf-8") as file:
        json.dump(pack, file, indent=2)
        file.write("\n")
    for name in ["NOTICE", *OPTIONAL]:
        if name == "NOTICE" or os.path.exists(os.path.join(source, name)):
            shutil.copyfile(os.path.join(source, name), os.path.join(target, name))


def _check_sets(sets, pack):
    unknown = sorted(set(sets) - set(pack["sets"]))
    if unknown:
        raise PackFileError(f"{unknown}: not in the pack, which has {pack['sets']}")


def _narrowed(pack, sets):
    """The description of a pack with fewer sets. Its NOTICE is kept whole."""
    dropped = {f"@iconify-json/{name}" for name in pack["sets"] if name not in sets}
    packages = {name: about for name, about in pack["packages"].items() if name not in dropped}
    kept = [name for name in pack["sets"] if name in sets]
    lost = [icon for icon in pack.get("lost", []) if icon.split("/")[0] in sets]
    return {**pack, "packages": packages, "sets": kept, "lost": lost}


def _copy_pictures(source, target, size, chosen):
    """Copies the chosen pictures, black where transparent; returns the hash of the copy."""
    path = os.path.join(source, "pictures.rgba")
    pictures = np.memmap(path, np.uint8, "r").reshape(-1, size, size, 4)
    digest = hashlib.sha256()
    with open(os.path.join(target, "pictures.rgba"), "wb") as copy:
        for first in range(0, len(chosen), _BLOCK):
            block = pictures[chosen[first : first + _BLOCK]]
            block[block[..., 3] == 0] = 0
            copy.write(block.data)
            digest.update(block.data)
    return digest.hexdigest()


def _write_pictures(pictures, path):
    with open(path, "w", encoding="utf-8") as file:
        for i, picture in enumerate(pictures):
            line = json.dumps({**picture, "i": i}, ensure_ascii=False, separators=(",", ":"))
            file.write(line + "\n")


def _write_tar(packed, directory, names):
    """Names and contents only, so that the same pack gives the same file."""
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name in names:
            path = os.path.join(directory, name)
            entry = tarfile.TarInfo(name)
            entry.size = os.path.getsize(path)
            with open(path, "rb") as content:
                tar.addfile(entry, content)


# --- file -> directory


def _read_tar(tar, directory):
    """Only the files of a pack are taken, whatever else the archive names."""
    for entry in tar:
        if not entry.isfile() or entry.name not in REQUIRED + OPTIONAL:
            raise PackFileError(f"{tar.name}: {entry.name!r} is no file of a pack")
        with open(os.path.join(directory, entry.name), "wb") as copy:
            shutil.copyfileobj(tar.extractfile(entry), copy, 1 << 20)


def _check_pack(directory, file):
    missing = [name for name in REQUIRED if not os.path.exists(os.path.join(directory, name))]
    if missing:
        raise PackFileError(f"{file}: {', '.join(missing)} missing")
    pack = _read_json(directory, "pack.json")
    count, size = pack.get("pictures"), pack.get("size")
    if size not in _SIZES or count not in range(_MOST_PICTURES):
        raise PackFileError(f"{file}: {count} pictures of side {size}")
    pictures = os.path.join(directory, "pictures.rgba")
    if os.path.getsize(pictures) != count * size * size * 4:
        found = os.path.getsize(pictures)
        raise PackFileError(f"{file}: {found} bytes of pictures, expected {count} of side {size}")
    with open(os.path.join(directory, "pictures.jsonl"), "rb") as lines:
        described = sum(1 for _ in lines)
    if described != count:
        raise PackFileError(f"{file}: {described} pictures described, expected {count}")
    if _sha256(pictures) != pack.get("sha256"):
        raise PackFileError(f"{file}: the pictures are not those that pack.json has the hash of")


def _sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def _move_pack(source, target):
    complete = os.path.join(target, "pack.json")
    if os.path.exists(complete):
        os.remove(complete)
    for name in OPTIONAL + REQUIRED:
        if os.path.exists(os.path.join(source, name)):
            os.replace(os.path.join(source, name), os.path.join(target, name))
