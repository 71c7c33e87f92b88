"""The measures give full marks to the pack's own pictures and none to wrong ones."""
import json
import os
import tempfile
import unittest

import numpy as np
import torch
import torch.nn.functional as F

from recipe import measures, prompts
from recipe.compose import Compositor, tensors_of
from recipe.pack import COLOURS, Pack, Picture

SIDE = 32
CONCEPTS = ("cat dog apple frog car tree boat house star moon ball fish hat key lamp ring bell "
            "cake crab duck".split())
TAGS = "small", "nice", "thing"


def synthetic_pack():
    """Two styles of random blocks with empty corners; a quarter of a style is held out."""
    random = np.random.default_rng(1)
    rgba, pictures = [], []
    for style in ("noto", "fluent"):
        for k, concept in enumerate(CONCEPTS):
            blocks = random.integers(0, 256, (6, 6, 4)).repeat(4, 0).repeat(4, 1)
            blocks[..., 3] = 255
            rgba.append(np.pad(blocks, ((4, 4), (4, 4), (0, 0))).astype(np.uint8))
            held_out = style == "fluent" and k % 4 == 0
            pictures.append(Picture(concept, style, TAGS, (), 3, "red", held_out))
    return Pack(np.stack(rgba), tuple(pictures))


def encode(x):
    return F.avg_pool2d(x, 8)


class Measures(unittest.TestCase):
    def setUp(self):
        self.pack = synthetic_pack()
        self.prompts = prompts.fixed(self.pack, 100)
        self.compositor = Compositor(self.pack.rgba, torch.device("cpu"))
        self.pictures = self.compositor.pictures(*tensors_of([p.scene for p in self.prompts]))

    def figures(self, pictures):
        results = measures.measure({"it": pictures}, self.prompts, self.pack.pictures,
                                   self.compositor, encode)["it"]
        return measures.summary(results, self.prompts)

    def test_the_packs_own_pictures_get_full_marks(self):
        for kind, parts in self.figures(self.pictures).items():
            for part, it in parts.items():
                for name in ("pixels_top1", "latents_top1", "background", "right"):
                    self.assertEqual(it.get(name, 1.0), 1.0, (kind, part, name))

    def test_pixels_are_measured_alone_where_nothing_encodes(self):
        of = measures.measure({"it": self.pictures}, self.prompts, self.pack.pictures,
                              self.compositor, None)["it"]
        one = measures.summary(of, self.prompts)["one"]["all"]
        self.assertEqual(one["pixels_top1"], 1)
        self.assertNotIn("latents_top1", one)

    def test_swapped_halves_are_told(self):
        swapped = self.pictures.clone()
        for k, p in enumerate(self.prompts):
            if p.kind in prompts.PLACES:
                axis = 2 if p.kind == "beside" else 1
                swapped[k] = swapped[k].roll(SIDE // 2, axis)
        of = self.figures(swapped)
        for kind in prompts.PLACES:
            self.assertEqual(of[kind]["all"]["right"], 0)
            self.assertEqual(of[kind]["all"]["swapped"], 1)
        self.assertEqual(of["alone"]["all"]["pixels_top1"], 1)

    def test_another_background_is_told(self):
        wrong = self.pictures.clone()
        for k, p in enumerate(self.prompts):
            other = "navy" if p.scene.colour != "navy" else "pink"
            wrong[k, :, :4] = wrong[k, :, -4:] = (
                torch.tensor(COLOURS[other]).view(3, 1, 1) / 127.5 - 1)
        self.assertEqual(self.figures(wrong)["background"]["all"]["background"], 0)

    def test_another_picture_is_no_success(self):
        of = self.figures(self.pictures.roll(1, 0))
        self.assertLess(of["one"]["all"]["pixels_top1"], 0.05)

    def test_no_picture_is_no_success(self):
        for nothing in 1.0, float("nan"):
            of = self.figures(torch.full_like(self.pictures, nothing))
            self.assertEqual(of["one"]["all"]["pixels_top5"], 0)
            self.assertEqual(of["beside"]["all"]["neither"], 1)

    def test_twins_in_the_gallery_are_as_right(self):
        rgba = self.pack.rgba.copy()
        rgba[1] = rgba[0]
        self.compositor = Compositor(rgba, torch.device("cpu"))
        self.pictures = self.compositor.pictures(*tensors_of([p.scene for p in self.prompts]))
        self.assertEqual(self.figures(self.pictures)["one"]["all"]["pixels_top1"], 1)


class Prompts(unittest.TestCase):
    def test_prompts_do_not_depend_on_the_order_of_the_pictures(self):
        pack = synthetic_pack()
        turned = Pack(pack.rgba[::-1], pack.pictures[::-1])
        self.assertEqual([p.caption for p in prompts.fixed(pack, 100)],
                         [p.caption for p in prompts.fixed(turned, 100)])

    def test_every_kind_has_seen_and_unseen_prompts(self):
        made = prompts.fixed(synthetic_pack(), 100)
        for kind in prompts.SHARES.keys() - {"keywords"}:
            self.assertEqual({p.seen for p in made if p.kind == kind}, {True, False}, kind)

    def test_unseen_pairs_and_colours_are_those_kept_from_training(self):
        from recipe.scenes import unseen
        pack = synthetic_pack()
        for p in prompts.fixed(pack, 100):
            words = [pack.pictures[o[0]].concept for o in p.scene.objects]
            if p.kind == "background":
                words.append(p.scene.colour)
            if p.kind not in ("one", "keywords"):
                self.assertEqual(unseen(*words), not p.seen, p.caption)
            else:
                self.assertEqual(pack.pictures[p.scene.objects[0][0]].held_out, not p.seen)

    def test_jobs_have_the_key_and_all_that_changes_pixels(self):
        made = prompts.fixed(synthetic_pack(), 100)
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "jobs.jsonl")
            prompts.write_jobs(path, made, 2.0, 0.3, 7, {0.1: [0.1, 0.0]})
            with open(path, encoding="utf-8") as f:
                jobs = [json.loads(line) for line in f]
        self.assertEqual([j["key"] for j in jobs[:len(made)]], [p.key for p in made])
        self.assertEqual(jobs[len(made)]["key"], "one-000-0.1")
        self.assertEqual(jobs[len(made)]["recipe"]["flip_bits"], [0.1, 0.0])
        self.assertEqual(jobs[3], {"prompt": made[3].caption, "seed": 10, "key": made[3].key,
                                   "recipe": {"cfg": 2.0, "tau": 0.3, "lossless": True}})


if __name__ == "__main__":
    unittest.main()
