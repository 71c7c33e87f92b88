"""Images are found again by their keys, in a manifest, a tar and a directory."""
import io
import json
import os
import tempfile
import unittest

import numpy as np
from PIL import Image

from recipe.images import read_images
from recipe.prompts import Prompt
from recipe.run import RunError
from recipe.scenes import Scene

PROMPTS = [Prompt(f"one-{k:03d}", "one", Scene(f"a thing {k}", "white", (0, 0, 0), ()), True,
                  "noto") for k in range(3)]


def image_of(k):
    """Lossless WebP of one colour."""
    data = io.BytesIO()
    Image.fromarray(np.full((8, 8, 3), 50 * k, np.uint8)).save(data, "WEBP", lossless=True)
    return data.getvalue()


class Images(unittest.TestCase):
    def setUp(self):
        kept = tempfile.TemporaryDirectory()
        self.addCleanup(kept.cleanup)
        self.directory = kept.name
        self.manifest = os.path.join(self.directory, "manifest.jsonl")

    def write(self, path, data):
        path = os.path.join(self.directory, path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as f:
            f.write(data)

    def row(self, k, path, offset=0):
        return {"user_key": PROMPTS[k].key, "prompt": PROMPTS[k].caption, "path": path,
                "offset": offset, "bytes": len(image_of(k))}

    def write_manifest(self, rows):
        self.write("manifest.jsonl", "".join(json.dumps(r) + "\n" for r in rows).encode())

    def check(self, path):
        read = read_images(path, PROMPTS, 8)
        self.assertEqual(tuple(read.shape), (3, 3, 8, 8))
        for k in range(3):
            self.assertAlmostEqual(float(read[k].mean()), 50 * k / 127.5 - 1, places=5)

    def test_files_and_parts_of_a_tar_by_a_manifest(self):
        self.write("images/aa/0.webp", image_of(0))
        self.write("images/1.tar", b"x" * 512 + image_of(1) + b"y" * 100)
        self.write("2.webp", image_of(2))
        self.write_manifest([self.row(2, "2.webp"), self.row(0, "aa/0.webp"),
                             self.row(1, "1.tar", 512)])
        self.check(self.manifest)

    def test_a_directory_of_keys(self):
        for k in range(3):
            self.write(f"keys/one-{k:03d}.webp", image_of(k))
        self.check(os.path.join(self.directory, "keys"))

    def test_what_is_missing_or_of_another_prompt_or_size_is_told(self):
        self.write("0.webp", image_of(0))
        other = dict(self.row(0, "0.webp"), prompt="a frog")
        for rows, said in (([], "are all jobs done"), ([other], "another pack"),
                           ([self.row(0, "gone.webp")], "no such file")):
            self.write_manifest(rows)
            with self.assertRaisesRegex(RunError, said):
                read_images(self.manifest, PROMPTS[:1], 8)
        self.write_manifest([self.row(0, "0.webp")])
        with self.assertRaisesRegex(RunError, "8 x 8 pixels, expected 16 x 16"):
            read_images(self.manifest, PROMPTS[:1], 16)


if __name__ == "__main__":
    unittest.main()
