"""The fixed prompts of an evaluation: which they are depends on the names in the pack alone,
not on a run, a Python or the pictures' order.

    one         "a frog"                                           36 % of them
    keywords    "pond amphibian green", as the pack has them        8 %
    background  "a frog on a yellow background"                    28 %
    beside      "a cat on the left, a red apple on the right"      18 %
    above       "a cat above a red apple"                          10 %

Each kind but keywords has prompts that training may have drawn and others that it was kept
from: pictures that are held out, things on a colour and pairs for which scenes.unseen says so.
That a pair may have been drawn does not mean that it was: there are more pairs than samples."""
import dataclasses
import json

from .english import article
from .pack import COLOURS, draw
from .scenes import Scene, unseen, with_article

NAMED = tuple(c for c in COLOURS if c != "white")
SHARES = {"one": 0.36, "keywords": 0.08, "background": 0.28, "beside": 0.18,
          "above": 0.1}
HELD_OUT = 0.25            # of the prompts of one thing, where there are as many
PLACES = {"beside": ((0.25, 0.5), (0.75, 0.5)), "above": ((0.5, 0.25), (0.5, 0.75))}
WORDS = {"beside": "{x} on the left, {y} on the right", "above": "{x} above {y}"}


@dataclasses.dataclass(frozen=True)
class Prompt:
    key: str
    kind: str
    scene: Scene
    seen: bool
    style: str

    @property
    def caption(self):
        return self.scene.caption


def fixed(pack, count):
    """About `count` prompts; fewer where the pack has too few pictures."""
    maker = Maker(pack)
    kinds = {"one": maker.alone, "keywords": maker.keywords, "background": maker.on_colours,
             "beside": maker.beside, "above": maker.above}
    return [Prompt(f"{kind}-{k:03d}", kind, *rest)
            for kind, make in kinds.items()
            for k, rest in enumerate(make(round(count * SHARES[kind])))]


class Maker:
    """Makes the prompts of each kind as (scene, seen, style)."""

    def __init__(self, pack):
        self.pack = pack
        self.pictures = pack.pictures
        self.many_styles = len({p.style for p in self.pictures}) > 1
        self.known = [i for i, p in enumerate(self.pictures) if not p.held_out]

    def shuffled(self, chosen, salt):
        """By a hash of the names."""
        def place(i):
            return draw(f"evaluation/{salt}/{self.pictures[i].concept}/{self.pictures[i].style}")
        return sorted(chosen, key=place)

    def alone(self, count):
        held = [i for i, p in enumerate(self.pictures) if p.held_out]
        held = self.shuffled(held, "held")[:round(count * HELD_OUT)]
        known = self.shuffled(self.known, "one")[:count - len(held)]
        for i in known + held:
            words = with_article(self.pictures[i].concept)
            yield self.finished(words, "white", [(i, 0.5, 0.5, 1.0)], i in known)

    def keywords(self, count):
        """Three of a thing's keywords, where it has three that do not name it."""
        made = 0
        for i in self.shuffled(self.known, "keywords"):
            p = self.pictures[i]
            tags = [t for t in p.tags if t.lower() not in p.concept.lower()
                    and p.concept.lower() not in t.lower()]
            if len(tags) >= 3 and made < count:
                made += 1
                tags.sort(key=lambda tag: draw(f"evaluation/{p.concept}/{tag}"))
                yield self.finished(" ".join(tags[:3]), "white", [(i, 0.5, 0.5, 1.0)], True)

    def on_colours(self, count):
        """The colours in turn, every other round with things unseen on them."""
        chosen = [i for i in self.known if shows_background(self.pack.rgba[i])]
        orders = {colour: self.shuffled(chosen, colour) for colour in NAMED}
        taken = set()
        for k in range(count):
            colour, seen = NAMED[k % len(NAMED)], k // len(NAMED) % 2 == 0
            i = next((i for i in orders[colour] if i not in taken
                      and unseen(self.pictures[i].concept, colour) != seen), None)
            if i is not None:
                taken.add(i)
                words = with_article(self.pictures[i].concept)
                yield self.finished(words, colour, [(i, 0.5, 0.5, 1.0)], seen)

    def beside(self, count):
        return self.pairs("beside", count)

    def above(self, count):
        return self.pairs("above", count)

    def pairs(self, kind, count):
        order = self.shuffled(self.known, kind)
        for k, i in enumerate(order[:count]):
            seen = k % 2 == 0
            far = (k + len(order) // 2) % len(order)
            j = self.partner(i, order[far:] + order[:far], seen)
            if j is None:
                continue
            x = with_article(self.pictures[i].concept)
            y = with_article(coloured(self.pictures[j]) if k % 3 == 0
                             else self.pictures[j].concept)
            objects = [(n, *at, 0.5) for n, at in zip((i, j), PLACES[kind])]
            yield self.finished(WORDS[kind].format(x=x, y=y), "white", objects, seen)

    def partner(self, i, others, seen):
        """The next one that is another thing in the same style."""
        p = self.pictures[i]
        for j in others:
            q = self.pictures[j]
            if (q.style == p.style and q.concept != p.concept
                    and unseen(p.concept, q.concept) != seen):
                return j
        return None

    def finished(self, words, colour, objects, seen):
        style = self.pictures[objects[0][0]].style
        if self.many_styles:
            words += f", {style} style"
        if colour != "white":
            words += f" on {article(colour)} {colour} background"
        return Scene(words, colour, COLOURS[colour], tuple(objects)), seen, style


def shows_background(rgba):
    """Are the corners empty? A thing that fills them leaves no background to measure."""
    side = corner(rgba.shape[0])
    ends = slice(side), slice(-side, None)
    return all((rgba[y, x, 3] < 10).all() for y in ends for x in ends)


def corner(pixels):
    """Side of the corners in which a background is measured."""
    return max(2, pixels // 16)


def coloured(picture):
    """The concept with the colour that it has, where it has one and its name does not say."""
    named = any(word in COLOURS for word in picture.concept.split())
    return picture.concept if named or not picture.colour else f"{picture.colour} {picture.concept}"


def write_jobs(path, prompts, guidance, temperature, seed, flips):
    """One job a line, for `cfgen-jobs add`. Without loss, so that pixels are compared and not
    the compression; the key finds the image of a prompt again.

      flips  {share: probability for each scale}: the prompts of one thing are asked for again
             with so many bits flipped
    """
    recipe = {"cfg": guidance, "lossless": True}
    recipe.update({"tau": temperature} if temperature > 0 else {"top_k": 1})
    jobs = [(p.key, p, seed + k, recipe) for k, p in enumerate(prompts)]
    for share, by_scale in flips.items():
        jobs += [(flipped_key(p.key, share), p, at, {**recipe, "flip_bits": by_scale})
                 for _, p, at, _ in jobs[:len(prompts)] if p.kind == "one"]
    with open(path, "w", encoding="utf-8") as f:
        for key, p, at, how in jobs:
            job = {"prompt": p.caption, "seed": at, "key": key, "recipe": how}
            f.write(json.dumps(job, ensure_ascii=False) + "\n")
    return len(jobs)


def flipped_key(key, share):
    return f"{key}-{share:g}" if share else key
