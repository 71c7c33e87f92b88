"""Measures a run: what comes of fixed prompts, what the tokenizer alone could reach, how many
bits the transformer knows, and what wrong bits do to it.

With --write-prompts and --images the pictures are made by cfgen, and measured the same:

    cfgen-train evaluate RUN --pack PACK --write-prompts jobs.jsonl
    cfgen-jobs init --db=eval.db
    cfgen-jobs add --db=eval.db jobs.jsonl
    cfgen-batch --db=eval.db --model=MODEL --output=images
    cfgen-jobs export --db=eval.db --output=manifest.jsonl
    cfgen-train evaluate RUN --pack PACK --images manifest.jsonl
"""
import json
import os

import torch

from . import bsq, measures, pack, prompts, run, tokenizer, transformer
from .compose import Compositor, tensors_of
from .images import read_images
from .scenes import Scenes
from .trained import BATCH, Trained

DRAW = "evaluation"       # seed of the composites; trainings have numbers
TOKENIZER = "tokenizer"   # what its reconstructions are called among the results


def add_arguments(parser):
    add = parser.add_argument
    add("--prompts", type=int, default=500, help="how many of the fixed prompts [500]")
    add("--composites", type=int, default=512,
        help="pictures for the tokenizer's PSNR and the bits' accuracy [512]")
    add("--cfg", type=float, default=2.0, help="guidance [2]")
    add("--tau", type=float, default=0.3, help="temperature, 0 takes the likelier bit [0.3]")
    add("--seed", type=int, default=0, help="of the sampling; the prompts have their own")
    add("--flips", type=numbers, default=(), metavar="LIST",
        help="also with these shares of the bits of the first half of the scales flipped: "
             "0.05,0.1,0.2,0.3")
    add("--against", metavar="FILE",
        help="a transformer's checkpoint in RUN to compare with under flips, such as "
             "transformer-uncorrected.pt")
    add("--images", metavar="MANIFEST",
        help="measures these instead of sampling: what cfgen-jobs exports, or a directory of "
             "KEY.webp")
    add("--write-prompts", metavar="FILE", help="writes the jobs for cfgen-jobs, nothing else")
    add("--pixels-only", action="store_true",
        help="likeness of pixels alone, without latents: much faster on processors")
    add("--out", metavar="FILE", help="the figures as JSON; the curve of flips beside it")


def numbers(text):
    return tuple(float(x) for x in text.split(","))


def evaluate(options, preset):
    pictures = pack.read(options.pack, preset.pixels, options.sets or preset.sets,
                         options.concepts)
    chosen = prompts.fixed(pictures, options.prompts)
    if options.write_prompts:
        count = prompts.write_jobs(options.write_prompts, chosen, options.cfg, options.tau,
                                   options.seed, {f: flips_of(f, preset)
                                                  for f in options.flips})
        print(f"{options.write_prompts}: {count} jobs for cfgen-jobs add")
        return
    it = Evaluation(options, preset, pictures, chosen)
    report = it.report()
    tell(report)
    if options.out:
        write(options.out, report)
        if "flips" in report:
            draw_flips(report, os.path.splitext(options.out)[0] + "-flips.png")


def flips_of(share, preset):
    """For each scale the share of its bits to flip: of the first half of the scales."""
    half = (len(preset.scales) + 1) // 2
    return [share] * half + [0.0] * (len(preset.scales) - half)


class Evaluation:
    def __init__(self, options, preset, pictures, chosen):
        self.options, self.preset, self.prompts = options, preset, chosen
        self.pictures = pictures.pictures
        self.trained = Trained(options.directory, preset, options.pack)
        self.compositor = Compositor(pictures.rgba, self.trained.where)

    def report(self):
        o = self.options
        with torch.no_grad():
            results = self.measure(self.prompts, {
                "images" if o.images else "model": self.made(self.trained, self.prompts),
                TOKENIZER: self.trained.reconstruct(self.composed(self.prompts))})
            report = {"preset": self.preset.name, "pictures": len(self.pictures),
                      "trained": self.trained.progress, "cfg": o.cfg, "tau": o.tau,
                      "seed": o.seed, "images": o.images,
                      "figures": {name: measures.summary(of, self.prompts)
                                  for name, of in results.items()},
                      **self.bits()}
            if o.flips:
                report["flips"] = self.flips()
        report["prompts"] = [dict(key=p.key, caption=p.caption, seen=p.seen,
                                  **{name: of[k] for name, of in results.items()})
                             for k, p in enumerate(self.prompts)]
        return report

    def measure(self, chosen, sources):
        return measures.measure(sources, chosen, self.pictures, self.compositor,
                                None if self.options.pixels_only else self.trained.encode)

    def made(self, trained, chosen, share=0.0):
        """The pictures of the prompts: cfgen's, or sampled here."""
        o = self.options
        if o.images and trained is self.trained:
            read = read_images(o.images, chosen, self.preset.pixels, share)
            return read.to(self.trained.where)
        return trained.sample([p.caption for p in chosen], o.cfg, o.tau, o.seed,
                              dict(enumerate(flips_of(share, self.preset))))

    def composed(self, chosen):
        return self.compositor.pictures(*tensors_of([p.scene for p in chosen]))

    def bits(self):
        """The tokenizer's PSNR and the share of right bits of each scale, when all bits
        before are right, on scenes that no training has drawn."""
        draw = Scenes(self.pictures, DRAW)
        scenes = [draw.draw(self.preset.mix) for _ in range(self.options.composites)]
        psnr, right = [], []
        for at in range(0, len(scenes), BATCH):
            part = scenes[at:at + BATCH]
            x = self.compositor.pictures(*tensors_of(part))
            labels, inputs, total = bsq.tokens(self.trained.encode(x), self.preset.scales)
            psnr.append(tokenizer.psnr(self.trained.decode(total) - x))
            ids, valid = self.trained.ids([s.caption for s in part])
            right.append(self.trained.model.loss(ids, valid, None, labels, inputs)[1])
        by_scale = transformer.by_scale(torch.cat(right), self.preset.scales)
        return {"tokenizer_psnr": round(float(torch.cat(psnr).mean()), 2),
                "bits": {name: round(float(v), 4) for name, v in by_scale.items()}}

    def flips(self):
        """{name of the transformer: {share: figures}}, over the prompts of one thing."""
        o = self.options
        chosen = [p for p in self.prompts if p.kind == "one"]
        out = {"transformer": self.with_flips(self.trained, chosen)}
        if o.against:
            name = os.path.splitext(os.path.basename(o.against))[0]
            twin = Trained(o.directory, self.preset, o.pack, name)
            self.trained.progress.update(twin.progress)
            out[name] = self.with_flips(twin, chosen)
        return out

    def with_flips(self, trained, chosen):
        sources = {share: self.made(trained, chosen, share)
                   for share in sorted({0.0, *self.options.flips})}
        results = self.measure(chosen, sources)
        return {f"{share:g}": measures.summary(of, chosen)["one"]["all"]
                for share, of in results.items()}


def write(path, report):
    with open(path + ".part", "w", encoding="utf-8") as f:
        json.dump(report, f, indent=1, ensure_ascii=False)
        f.write("\n")
    os.replace(path + ".part", path)


COLUMNS = ("pixels_top1", "pixels_top5", "latents_top1", "latents_top5", "background", "right",
           "swapped", "neither")
HEAD = ("pixels 1", "pixels 5", "latents 1", "latents 5", "background", "order", "swapped",
        "neither")


def tell(report):
    progress = ", ".join(f"{name} {p['samples']} samples" for name, p in report["trained"].items())
    print(f"{report['preset']}: {progress}; cfg {report['cfg']:g}, tau {report['tau']:g}")
    print(f"{'':31}prompts " + " ".join(f"{h:>10}" for h in HEAD))
    for name, kinds in report["figures"].items():
        for kind, parts in kinds.items():
            for part, it in parts.items():
                if part == "all" or name != TOKENIZER:
                    print(row_of(f"{name:10} {kind:10} {part:8}", it))
    print(f"tokenizer {report['tokenizer_psnr']} dB; right bits by side of the scale: "
          + ", ".join(f"{k[len('right_'):]} {v:.3f}" for k, v in report["bits"].items()))
    for name, shares in report.get("flips", {}).items():
        for share, it in shares.items():
            print(row_of(f"{name:24} {share:>5}", it) + " flipped")


def row_of(head, it):
    cells = [f"{100 * it[c]:9.1f}%" if c in it else " " * 10 for c in COLUMNS]
    return f"{head:31}{it['prompts']:7} " + " ".join(cells)


def draw_flips(report, path):
    """Retrieval over the share of bits flipped."""
    import matplotlib
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    figure, panel = plt.subplots(figsize=(6, 4))
    for colour, (name, shares) in zip(("tab:blue", "tab:orange"), report["flips"].items()):
        at = [100 * float(s) for s in shares]
        for key, line in (("pixels_top1", "-"), ("pixels_top5", "--")):
            panel.plot(at, [100 * it[key] for it in shares.values()], line, marker="o",
                       color=colour, label=f"{name}, top-{key[-1]}")
    panel.set_xlabel("bits of the first half of the scales flipped, %")
    panel.set_ylabel("asked concept retrieved, %")
    panel.set_ylim(0, 100)
    panel.grid(alpha=0.3)
    panel.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)
