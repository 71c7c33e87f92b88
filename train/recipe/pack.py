"""Reads a pack, the directory that render.mjs writes: pictures and what is known of them."""
import dataclasses
import hashlib
import json
import os

import numpy as np

# The colours that a background may have and that a thing may be called by.
COLOURS = {
    "white": (255, 255, 255), "black": (20, 20, 20), "gray": (128, 128, 128),
    "red": (214, 40, 40), "orange": (245, 140, 30), "yellow": (250, 215, 60),
    "green": (60, 160, 70), "teal": (40, 160, 160), "blue": (50, 100, 220),
    "sky blue": (135, 200, 240), "purple": (130, 70, 180), "pink": (245, 160, 190),
    "brown": (130, 85, 50), "beige": (240, 225, 195), "navy": (20, 35, 90),
}

# What a style is called in a prompt, by set.
STYLES = {
    "noto": "noto", "fluent-emoji-flat": "fluent", "twemoji": "twemoji",
    "emojione": "emojione", "fxemoji": "firefox", "streamline-emojis": "streamline",
    "flat-color-icons": "flat icon", "circle-flags": "round flag",
}
FLAGS = 9  # a group of CLDR; so are:
PEOPLE = 1


class PackError(Exception):
    """A pack that cannot be used: what, where, what to do."""


@dataclasses.dataclass(frozen=True)
class Picture:
    """One pictogram: what it shows (concept) in which style."""
    concept: str
    style: str
    tags: tuple
    names: tuple      # of the concept in other languages
    group: int
    colour: str       # the one that most of it has, or ""
    held_out: bool    # this concept in this style is kept from training


@dataclasses.dataclass(frozen=True)
class Pack:
    rgba: np.ndarray  # uint8 [N, S, S, 4], straight alpha
    pictures: tuple   # of Picture, N

    def __len__(self):
        return len(self.pictures)


def read(path, pixels, sets, concepts=None, held_out=0.05):
    """The pictures of `sets`, area-averaged to `pixels`; only of `concepts`, where given, in
    their order of mention. About `held_out` of the concept-style pairs are marked as held out,
    of concepts that have another style left."""
    rows = lines(os.path.join(path, "pictures.jsonl"))
    file = os.path.join(path, "pictures.rgba")
    side = 128
    if os.path.getsize(file) != len(rows) * side * side * 4:
        raise PackError(f"{file}: {os.path.getsize(file)} bytes, expected "
                        f"{len(rows) * side * side * 4} for the {len(rows)} pictures of "
                        "pictures.jsonl; render the pack again")
    stored = np.memmap(file, np.uint8, "r").reshape(-1, side, side, 4)
    chosen = chosen_rows(path, rows, sets, concepts)
    rgba = np.concatenate([shrink(stored[i:i + 1], pixels) for i in chosen])
    pairs = held_out_pairs([(concept_of(rows[i]), rows[i]["set"]) for i in chosen], held_out)
    pictures = tuple(picture_of(rows[i], rgba[k], pairs) for k, i in enumerate(chosen))
    return Pack(rgba, pictures)


def chosen_rows(path, rows, sets, concepts):
    """Places of the rows of `sets`; only of `concepts`, where given, in their order."""
    rank = {c.lower(): i for i, c in enumerate(concepts)} if concepts else None
    chosen = [i for i, r in enumerate(rows)
              if r["set"] in sets and (rank is None or concept_of(r).lower() in rank)]
    if not chosen:
        raise PackError(f"{path}: no picture of the sets {', '.join(sets)}")
    if rank:
        chosen.sort(key=lambda i: rank[concept_of(rows[i]).lower()])
    return chosen


def concepts_of(path, sets, concepts=None):
    """The names of what those pictures show, each once."""
    rows = lines(os.path.join(path, "pictures.jsonl"))
    return list(dict.fromkeys(concept_of(rows[i])
                              for i in chosen_rows(path, rows, sets, concepts)))


def lines(path):
    with open(path, encoding="utf-8") as f:
        return [json.loads(line) for line in f]


def concept_of(row):
    """The CLDR name in words that a user would type."""
    name = row["label"].replace("flag: ", "flag of ").replace(":", "")
    return name.replace('"', "").replace("’", "'").strip()


def picture_of(row, rgba, pairs):
    concept = concept_of(row)
    names = tuple(v[0] for v in (row.get("i18n") or {}).values() if v)
    return Picture(concept, STYLES[row["set"]], tuple(row["tags"]), names,
                   row.get("group", -1), main_colour(rgba), (concept, row["set"]) in pairs)


def shrink(rgba, pixels):
    """Area average over premultiplied alpha: [n, S, S, 4] -> [n, pixels, pixels, 4]."""
    n, side = rgba.shape[:2]
    f = side // pixels
    if f == 1:
        return np.array(rgba)
    x = rgba.astype(np.float32)
    alpha = x[..., 3:] / 255
    x = np.concatenate((x[..., :3] * alpha, x[..., 3:]), -1)
    x = x.reshape(n, pixels, f, pixels, f, 4).mean((2, 4))
    alpha = x[..., 3:] / 255
    rgb = np.where(alpha > 0, x[..., :3] / np.maximum(alpha, 1e-6), 0)
    return np.concatenate((rgb, x[..., 3:]), -1).round().clip(0, 255).astype(np.uint8)


def main_colour(rgba):
    """What a person would call the colour of at least half of the opaque pixels, or ""."""
    opaque = rgba[rgba[..., 3] > 200][:, :3].astype(np.float32) / 255
    if not len(opaque):
        return ""
    names = np.array([*HUES.values(), "brown", "pink", "white", "gray", "black"])
    kinds, counts = np.unique(names[kinds_of(opaque)], return_counts=True)
    return str(kinds[counts.argmax()]) if 2 * counts.max() >= len(opaque) else ""


# Up to which hue, in degrees, a saturated colour has the name.
HUES = {16: "red", 40: "orange", 64: "yellow", 165: "green", 192: "teal", 258: "blue",
        295: "purple", 342: "pink", 360: "red"}


def kinds_of(rgb):
    """float [n, 3] in 0..1 -> places in HUES followed by brown, pink, white, gray, black."""
    most, least = rgb.max(1), rgb.min(1)
    span = np.maximum(most - least, 1e-6)
    r, g, b = rgb.T
    hue = np.select([most == r, most == g], [(g - b) / span % 6, (b - r) / span + 2],
                    (r - g) / span + 4) * 60
    kind = np.searchsorted(np.array(list(HUES)), hue)
    brown, pink, white, gray, black = range(len(HUES), len(HUES) + 5)
    warm = (hue < 45) | (hue > 342)
    saturation = span / np.maximum(most, 1e-6)
    kind = np.where(warm & (most < 0.72), brown, kind)
    kind = np.where(warm & (hue < 25) & (most > 0.8) & (saturation < 0.45), pink, kind)
    colourless = np.where(most > 0.85, white, np.where(most < 0.25, black, gray))
    return np.where((saturation < 0.2) | (most < 0.2), colourless, kind)


def held_out_pairs(pairs, share):
    """Pairs (concept, set) to keep from training: chosen by a hash of their names, so that a
    pair stays held out whatever else a run trains on; one style of a concept always stays."""
    styles = {}
    for concept, name in pairs:
        styles.setdefault(concept, set()).add(name)
    out = set()
    for concept, names in styles.items():
        picked = [n for n in sorted(names) if draw(f"{concept}/{n}") < share]
        out.update((concept, n) for n in picked[:len(names) - 1])
    return out


def draw(text):
    """A number in [0, 1) that depends on the text alone."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big") / 2 ** 48
