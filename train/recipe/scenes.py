"""What a picture shows and how a person would ask for it. No tensors here.

A scene is a background and up to four objects, worded in one of many ways. Wording matters as
much as the picture: the text encoder learns what "on the left" means only from scenes."""
import dataclasses
import random

from .english import article, plural
from .pack import COLOURS, FLAGS, PEOPLE, draw

PREFIXES = ("{a}", "{a}", "{a}", "picture of {a}", "a picture of {a}", "an icon of {a}",
            "a drawing of {a}", "an image of {a}", "emoji of {a}")
BACKGROUNDS = ("{s} on {a} background", "{s} on {a} background", "{s} on {c} background",
               "{s}, {c} background", "{s} on {c}", "{s} with {a} background",
               "{s} in front of {a} background")
LEFT_RIGHT = ("{x} on the left, {y} on the right", "{x} on the left and {y} on the right",
              "{x} and {y}", "{x} and {y}", "{x} next to {y}", "{x} to the left of {y}",
              "{y} to the right of {x}", "{x} left of {y}", "{y} right of {x}")
ABOVE = ("{x} above {y}", "{x} on top of {y}", "{y} below {x}", "{x} over {y}",
         "{y} under {x}", "{x} at the top, {y} at the bottom")
PLACES = {  # the centre of an object of half size
    "in the top left corner": (0.25, 0.25), "in the top right corner": (0.75, 0.25),
    "in the bottom left corner": (0.25, 0.75), "in the bottom right corner": (0.75, 0.75),
    "on the left": (0.25, 0.5), "on the right": (0.75, 0.5),
    "at the top": (0.5, 0.25), "at the bottom": (0.5, 0.75),
    "in the middle": (0.5, 0.5), "in the center": (0.5, 0.5),
}
ROWS = {  # centres of two, three, four objects of half size
    2: ((0.25, 0.5), (0.75, 0.5)),
    3: ((0.5, 0.25), (0.25, 0.75), (0.75, 0.75)),
    4: ((0.25, 0.25), (0.75, 0.25), (0.25, 0.75), (0.75, 0.75)),
}
NUMBERS = {2: "two", 3: "three", 4: "four"}
UNSEEN = 0.05  # of the combinations are kept from training


@dataclasses.dataclass(frozen=True)
class Scene:
    caption: str
    colour: str        # of the background
    background: tuple  # r, g, b, 0..255
    objects: tuple     # of (picture, x, y, size), see compose.py


@dataclasses.dataclass(frozen=True)
class Mix:
    """How often what is drawn; the rest is one object."""
    background: float = 0.4    # other than white
    two: float = 0.12
    count: float = 0.05
    small: float = 0.08
    moved: float = 0.3         # of the single objects
    languages: float = 0.0     # of the names


PLAIN = Mix(0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


def with_article(noun):
    return f"{article(noun)} {noun}"


def unseen(*words):
    """Is this combination (a thing and a colour, two things) kept from training?"""
    return draw("/".join(words)) < UNSEEN


class Scenes:
    """Draws scenes from the pictures of a pack that are not held out."""

    def __init__(self, pictures, seed):
        self.pictures = pictures
        self.random = random.Random(seed)
        self.many_styles = len({p.style for p in pictures}) > 1
        self.turns = [draw(p.concept) for p in pictures]
        self.share = 0.0
        self.choose(1.0)

    def choose(self, share):
        """From now on only of this share of the concepts; a larger share has all that a
        smaller one has."""
        if share == self.share:
            return
        self.share = share
        self.known = [i for i, p in enumerate(self.pictures)
                      if not p.held_out and self.turns[i] < share]
        weight, self.weights = 0.0, []
        for i in self.known:
            weight += 0.4 if self.pictures[i].group in (FLAGS, PEOPLE) else 1.0
            self.weights.append(weight)
        self.of_style = {}
        for i in self.known:
            self.of_style.setdefault(self.pictures[i].style, []).append(i)

    def draw(self, mix):
        r = self.random
        first = r.choices(self.known, cum_weights=self.weights)[0]
        colour = r.choice(list(COLOURS)) if r.random() < mix.background else "white"
        x = r.random()
        if x < mix.two:
            words, objects = self.two(first)
        elif x < mix.two + mix.count:
            words, objects = self.several(first)
        elif x < mix.two + mix.count + mix.small:
            words, objects = self.small(first, mix)
        else:
            words, objects = self.one(first, mix)
        if unseen(self.pictures[first].concept, colour):
            colour = "white"
        return self.finished(words, colour, objects)

    def finished(self, words, colour, objects):
        r = self.random
        style = self.pictures[objects[0][0]].style
        if r.random() < (0.5 if self.many_styles else 0.1):
            words += r.choice((f", {style} style", f" {style} style", f" in {style} style"))
        if colour != "white" or r.random() < 0.2:
            said = "grey" if colour == "gray" and r.random() < 0.5 else colour
            words = r.choice(BACKGROUNDS).format(s=words, a=with_article(said), c=said)
        rgb = COLOURS[colour]
        if colour != "white":
            rgb = tuple(min(255, max(0, v + r.randint(-10, 10))) for v in rgb)
        return Scene(words, colour, rgb, tuple(objects))

    def one(self, i, mix):
        r = self.random
        words = self.name(i, mix)
        if r.random() < 0.5:
            words = r.choice(PREFIXES).format(a=with_article(words))
        size = r.uniform(0.8, 1.0) if r.random() < mix.moved else 1.0
        room = (1 - size) / 2
        return words, [(i, 0.5 + r.uniform(-room, room), 0.5 + r.uniform(-room, room), size)]

    def small(self, i, mix):
        """At half size, at a named place or in the middle."""
        r = self.random
        words = r.choice(("small ", "small ", "tiny ", "little ")) + self.name(i, mix)
        words = with_article(words) if r.random() < 0.6 else words
        place = r.choice(list(PLACES))
        x, y = PLACES[place]
        if (x, y) != (0.5, 0.5) or r.random() < 0.3:
            words += " " + place
        return words, [(i, x, y, 0.5)]

    def several(self, i):
        n = self.random.choice(list(ROWS))
        words = f"{NUMBERS[n]} {plural(self.pictures[i].concept)}"
        return words, [(i, x, y, 0.5) for x, y in ROWS[n]]

    def two(self, i):
        """Two things of one style, side by side or one above the other."""
        r = self.random
        j = r.choice(self.of_style[self.pictures[i].style])
        if unseen(self.pictures[i].concept, self.pictures[j].concept):
            return self.one(i, PLAIN)
        both = r.random()
        x, y = (with_article(self.coloured(k)) if both < 0.7 else self.coloured(k) for k in (i, j))
        if r.random() < 0.75:
            return (r.choice(LEFT_RIGHT).format(x=x, y=y),
                    [(i, 0.25, 0.5, 0.5), (j, 0.75, 0.5, 0.5)])
        return (r.choice(ABOVE).format(x=x, y=y),
                [(i, 0.5, 0.25, 0.5), (j, 0.5, 0.75, 0.5)])

    def coloured(self, i):
        """The concept, now and then with the colour that it has."""
        p = self.pictures[i]
        named = any(word in COLOURS for word in p.concept.split())
        if p.colour and not named and self.random.random() < 0.2:
            return f"{p.colour} {p.concept}"
        return p.concept

    def name(self, i, mix):
        """The concept; with some of its keywords; only keywords; or in another language."""
        r = self.random
        p = self.pictures[i]
        if p.names and r.random() < mix.languages:
            return r.choice(p.names)
        x = r.random()
        if x < 0.75 or not p.tags:
            return self.coloured(i)
        tags = r.sample(p.tags, min(len(p.tags), r.randint(1, 3)))
        return " ".join([p.concept] + tags if x < 0.92 else tags)
