"""A pack that travelled is the pack that left, and a damaged file is no pack."""

import hashlib
import json
import lzma
import os
import tarfile
import tempfile
import unittest

try:
    import numpy as np
except ImportError as missing:
    raise unittest.SkipTest("needs numpy") from missing

from recipe.pack_file import PackFileError, squeeze, unsqueeze

SETS = ["noto", "twemoji"]
SIZE = 16


def write_json(value, *path):
    with open(os.path.join(*path), "w", encoding="utf-8") as file:
        json.dump(value, file)


def make_pack(directory):
    """Six pictures of two sets, with colours under transparent pixels."""
    rng = np.random.default_rng(1)
    pictures = rng.integers(0, 256, (6, SIZE, SIZE, 4), np.uint8)
    pictures[..., 3][rng.random((6, SIZE, SIZE)) < 0.3] = 0
    pictures.tofile(os.path.join(directory, "pictures.rgba"))
    with open(os.path.join(directory, "pictures.jsonl"), "w", encoding="utf-8") as file:
        for i in range(6):
            picture = {"i": i, "set": SETS[i % 2], "hex": f"1F{i // 2}", "label": "çat 猫"}
            file.write(json.dumps(picture) + "\n")
    packages = {f"@iconify-json/{name}": {} for name in SETS} | {"emojilib": {}}
    pack = {"packages": packages, "sets": SETS, "size": SIZE, "pictures": 6, "concepts": 3}
    pack["lost"] = ["noto/package"]
    pack["sha256"] = hashlib.sha256(pictures.tobytes()).hexdigest()
    write_json(pack, directory, "pack.json")
    write_json({"cat": [4]}, directory, "words.json")
    with open(os.path.join(directory, "NOTICE"), "w", encoding="utf-8") as file:
        file.write("drawn by somebody\n")
    return pictures


def read_pack(directory):
    with open(os.path.join(directory, "pictures.jsonl"), encoding="utf-8") as lines:
        described = [json.loads(line) for line in lines]
    with open(os.path.join(directory, "pack.json"), encoding="utf-8") as file:
        pack = json.load(file)
    pixels = np.fromfile(os.path.join(directory, "pictures.rgba"), np.uint8)
    return pack, described, pixels.reshape(-1, SIZE, SIZE, 4)


class PackFile(unittest.TestCase):
    def setUp(self):
        holder = tempfile.TemporaryDirectory()
        self.addCleanup(holder.cleanup)
        self.source = os.path.join(holder.name, "source")
        self.target = os.path.join(holder.name, "target")
        self.file = os.path.join(holder.name, "pack.tar.xz")
        os.mkdir(self.source)
        self.pictures = make_pack(self.source)
        self.seen = self.pictures.copy()
        self.seen[self.seen[..., 3] == 0] = 0

    def test_every_visible_pixel_and_every_name_survive(self):
        squeeze(self.source, self.file)
        unsqueeze(self.file, self.target)
        pack, described, pixels = read_pack(self.target)
        np.testing.assert_array_equal(pixels, self.seen)
        self.assertEqual(described, read_pack(self.source)[1])
        self.assertEqual((pack["pictures"], pack["concepts"], pack["sets"]), (6, 3, SETS))
        files = ["NOTICE", "pack.json", "pictures.jsonl", "pictures.rgba", "words.json"]
        self.assertEqual(sorted(os.listdir(self.target)), files)

    def test_chosen_sets_travel_alone_and_are_numbered_anew(self):
        squeeze(self.source, self.file, sets=["twemoji"])
        unsqueeze(self.file, self.target)
        pack, described, pixels = read_pack(self.target)
        np.testing.assert_array_equal(pixels, self.seen[1::2])
        self.assertEqual([p["i"] for p in described], [0, 1, 2])
        self.assertEqual({p["set"] for p in described}, {"twemoji"})
        self.assertEqual(list(pack["packages"]), ["@iconify-json/twemoji", "emojilib"])
        self.assertEqual((pack["sets"], pack["lost"]), (["twemoji"], []))

    def test_the_same_pack_gives_the_same_file(self):
        squeeze(self.source, self.file)
        unsqueeze(self.file, self.target)
        squeeze(self.target, self.file + "2")
        with open(self.file, "rb") as first, open(self.file + "2", "rb") as second:
            self.assertEqual(first.read(), second.read())

    def test_an_unknown_set_is_named(self):
        with self.assertRaisesRegex(PackFileError, "openmoji"):
            squeeze(self.source, self.file, sets=["noto", "openmoji"])

    def test_a_truncated_file_leaves_no_pack(self):
        squeeze(self.source, self.file)
        os.truncate(self.file, os.path.getsize(self.file) // 2)
        with self.assertRaises(PackFileError):
            unsqueeze(self.file, self.target)
        self.assertEqual(os.listdir(self.target), [])

    def test_changed_pixels_are_noticed(self):
        squeeze(self.source, self.file)
        self.rewrite(lambda name, data: data[:-1] + b"?" if name == "pictures.rgba" else data)
        with self.assertRaisesRegex(PackFileError, "hash"):
            unsqueeze(self.file, self.target)

    def test_a_file_outside_the_pack_is_refused(self):
        squeeze(self.source, self.file)
        self.rewrite(lambda name, data: data, {"words.json": "../words.json"})
        with self.assertRaisesRegex(PackFileError, "words.json"):
            unsqueeze(self.file, self.target)

    def rewrite(self, change, renamed=()):
        """The archive with its files' contents changed, some under another name."""
        with tarfile.open(self.file) as tar:
            contents = {entry.name: tar.extractfile(entry).read() for entry in tar}
        with lzma.open(self.file, "wb") as packed, tarfile.open(fileobj=packed, mode="w") as tar:
            for name, data in contents.items():
                data = change(name, data)
                entry = tarfile.TarInfo(dict(renamed).get(name, name))
                entry.size = len(data)
                with tempfile.TemporaryFile() as content:
                    content.write(data)
                    content.seek(0)
                    tar.addfile(entry, content)


if __name__ == "__main__":
    unittest.main()
