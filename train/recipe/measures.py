"""What a picture is worth to somebody who asked for it; the same code for pictures of the
model in Python, of cfgen, and of the tokenizer alone.

    retrieval   the place of the asked concept among all concepts of its style by likeness to
                the pack's own pictures, at the asked size and place, on the asked background
    background  is the asked one the nearest of the 15 colours to the picture's corners?
    order       is each half more like its own thing than like the other's?

Likeness is the cosine of two kinds of features: pixels pooled to 16 x 16, where the background
is zero, and the tokenizer's latents. In a picture of two things each is measured in its half,
with the other half painted over. Most of the time goes into the latents of the galleries: a
style's concepts on each colour and at each place."""
import dataclasses

import torch
import torch.nn.functional as F

from .pack import COLOURS
from .prompts import corner

GRID = 16
SAME = 0.9999        # likeness from which two of the pack's pictures are the same one
CHUNK = 128
FEATURES = "pixels", "latents"
KINDS = "one", "keywords", "background", "beside", "above"


@dataclasses.dataclass(frozen=True)
class View:
    """One thing to look for: in which picture, which of the pack's and, beside another, which
    it must not be taken for (else -1)."""
    row: int
    asked: int
    other: int


def views_of(prompts):
    """{(style, colour, x, y, size): views}: what is compared with the same gallery."""
    groups = {}
    for row, p in enumerate(prompts):
        for k, (asked, *place) in enumerate(p.scene.objects):
            other = p.scene.objects[1 - k][0] if len(p.scene.objects) == 2 else -1
            group = groups.setdefault((p.style, p.scene.colour, *place), [])
            group.append(View(row, asked, other))
    return groups


def measure(sources, prompts, pictures, compositor, encode):
    """{name: results of each prompt} for sources {name: [n, 3, S, S] in [-1, 1]}, a picture a
    prompt. A result has "pixels" and "latents", the ranks of its things (0 is the best), and
    "background" or "order" where the prompt asks for one.

      pictures  of the pack
      encode    [n, 3, S, S] -> latents, or None: then likeness is that of pixels alone
    """
    results = {name: [Result() for _ in prompts] for name in sources}
    for place, views in views_of(prompts).items():
        members = gallery_of(pictures, place[0])
        gallery = features_of(shown(members, place, compositor), place, encode)
        asked = torch.tensor([members[v.asked] for v in views])
        other = torch.tensor([members.get(v.other, 0) for v in views])
        for name, made in sources.items():
            seen = features_of([made[[v.row for v in views]]], place, encode)
            for f in gallery:
                like = (seen[f] @ gallery[f].T).cpu()
                twins = (gallery[f][asked] @ gallery[f].T).cpu()
                ranks = ranks_of(like, twins, asked).tolist()
                nearer = (like.gather(1, asked[:, None]) - like.gather(1, other[:, None]))
                for v, rank, by in zip(views, ranks, nearer.flatten().tolist()):
                    results[name][v.row].add(f, rank, by if v.other >= 0 else None)
    return {name: [r.said(colour) for r, colour in zip(of, colours_of(sources[name]))]
            for name, of in results.items()}


class Result:
    """What is found out about one picture, thing by thing."""

    def __init__(self):
        self.ranks, self.nearer = {}, []

    def add(self, feature, rank, nearer):
        """nearer: how much more like the asked thing than the other one, by pixels."""
        self.ranks.setdefault(feature, []).append(rank)
        if nearer is not None and feature == "pixels":
            self.nearer.append(nearer)

    def said(self, colour):
        order = {"order": order_of(self.nearer)} if self.nearer else {}
        return {**self.ranks, "background": colour, **order}


def gallery_of(pictures, style):
    """{picture: its place in the gallery} of a style: a picture of each concept. Where a
    concept has several, they share the place of the first."""
    concepts, members = {}, {}
    for i, p in enumerate(pictures):
        if p.style == style:
            members[i] = concepts.setdefault(p.concept, len(concepts))
    return members


def shown(members, place, compositor):
    """The pictures of a gallery, in chunks."""
    _, colour, *where = place
    first = {}
    for i, k in members.items():
        first.setdefault(k, i)
    for at in range(0, len(first), CHUNK):
        chosen = [first[k] for k in range(at, min(at + CHUNK, len(first)))]
        objects = torch.tensor([(row, 0, i, *where) for row, i in enumerate(chosen)])
        colours = torch.tensor([COLOURS[colour]] * len(chosen)).float()
        yield compositor.pictures(colours, objects.float())


def features_of(chunks, place, encode):
    """Unit vectors {"pixels": [n, 768], "latents": [n, D]} of what lies at the place."""
    out = {f: [] for f in FEATURES}
    for pictures in chunks:
        background = torch.tensor(COLOURS[place[1]], device=pictures.device) / 127.5 - 1
        background = background.view(1, 3, 1, 1)
        half = half_of(pictures, place, background)
        pooled = F.adaptive_avg_pool2d(half - background, GRID)
        out["pixels"].append(F.normalize(pooled.flatten(1), dim=1))
        if encode:
            out["latents"].append(F.normalize(encode(half).float().flatten(1), dim=1))
    return {f: torch.cat(v) for f, v in out.items() if v}


def half_of(pictures, place, background):
    """The pictures with the half painted over that a thing of half size is not in."""
    _, _, x, y, size = place
    if size > 0.5:
        return pictures
    middle = pictures.shape[-1] // 2
    over = {(0.25, 0.5): (..., slice(middle, None)), (0.75, 0.5): (..., slice(middle)),
            (0.5, 0.25): (..., slice(middle, None), slice(None)),
            (0.5, 0.75): (..., slice(middle), slice(None))}[x, y]
    half = pictures.clone()
    half[over] = background.view(3, 1, 1)
    return half


def ranks_of(like, twins, asked):
    """How many others are at least as like: like [n, G] of n pictures to the gallery, asked
    [n]. Pictures of the gallery that are the asked one again (twins: its own likeness to all)
    do not count as others; equal likeness to different ones is no success, nor is NaN."""
    right = like.gather(1, asked[:, None])
    return (~(like < right) & (twins < SAME)).sum(1)


def order_of(nearer):
    """nearer: how much more like the asked thing than the other each half is."""
    if all(n > 0 for n in nearer):
        return "right"
    return "swapped" if all(n < 0 for n in nearer) else "neither"


def colours_of(pictures):
    """The name of the colour nearest to the median of the corners, of each picture."""
    side = corner(pictures.shape[-1])
    ends = slice(side), slice(-side, None)
    corners = torch.cat([pictures[:, :, y, x].flatten(2) for y in ends for x in ends], 2)
    palette = torch.tensor(list(COLOURS.values()), device=pictures.device) / 127.5 - 1
    nearest = ((corners.median(2)[0][:, None] - palette) ** 2).sum(2).argmin(1)
    return [list(COLOURS)[int(k)] for k in nearest]


def summary(results, prompts):
    """{kind: {"all", "seen", "unseen": figures}} of the results of one source; kind "alone"
    is one and background together. Shares, not per cent."""
    groups = {kind: {kind} for kind in KINDS}
    groups = {"alone": {"one", "background"}, **groups}
    out = {}
    for name, kinds in groups.items():
        rows = [(r, p) for r, p in zip(results, prompts) if p.kind in kinds]
        parts = {"all": rows, "seen": [x for x in rows if x[1].seen],
                 "unseen": [x for x in rows if not x[1].seen]}
        out[name] = {part: figures(chosen) for part, chosen in parts.items() if chosen}
    return {name: parts for name, parts in out.items() if parts}


def figures(rows):
    """Of (result, prompt) pairs."""
    out = {"prompts": len(rows)}
    for f in FEATURES:
        if f not in rows[0][0]:
            continue
        ranks = [rank for r, _ in rows for rank in r[f]]
        out[f + "_top1"] = mean(rank < 1 for rank in ranks)
        out[f + "_top5"] = mean(rank < 5 for rank in ranks)
    out["background"] = mean(r["background"] == p.scene.colour for r, p in rows)
    orders = [r["order"] for r, _ in rows if "order" in r]
    if orders:
        out.update((kind, mean(o == kind for o in orders))
                   for kind in ("right", "swapped", "neither"))
    return out


def mean(values):
    values = list(values)
    return round(sum(values) / len(values), 4)
