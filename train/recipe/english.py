"""The little English that captions need: "a" or "an", and plurals.

    article("hourglass")     -> "an"
    plural("slice of pizza") -> "slices of pizza"

Both take a noun phrase as emoji names are written: the noun comes last, unless "of", "with"
or the like begins what describes it. Spelling rules and short lists of exceptions, no
dictionary: of "man biking" the plural is a guess.

A vocabulary is trained on captions with these words, so another rule makes another vocabulary.
"""

import re

# Written with a vowel but spoken with "y" or "w", and the other way round.
_CONSONANT_SOUND = re.compile(
    r"(uni(?!n)|u\.?[sk]\b|u\.s\.|us[ea]|uk|ufo|ute|eu|ewe|one|once|o2)"
)
_VOWEL_SOUND = re.compile(
    r"(hour|honest|heir|x-ray|8|11\b|18\b|[aefhilmnorsx]\b|sos|mri|atm)"
)
_VOWELS = tuple("aeiouáéíóúåö")

_IRREGULAR = {
    "child": "children",
    "person": "people",
    "foot": "feet",
    "tooth": "teeth",
    "goose": "geese",
    "mouse": "mice",
    "ox": "oxen",
    "stomach": "stomachs",
    "gas": "gases",
    "leaf": "leaves",
    "loaf": "loaves",
    "knife": "knives",
    "wolf": "wolves",
    "calf": "calves",
    "scarf": "scarves",
    "elf": "elves",
    "shelf": "shelves",
    "half": "halves",
    "thief": "thieves",
    "human": "humans",
}
_UNCHANGED = {"sheep", "fish", "deer", "bison", "squid", "shrimp", "aircraft", "chess", "moose"}
_O_TO_OES = {
    "potato",
    "tomato",
    "mango",
    "hero",
    "volcano",
    "tornado",
    "mosquito",
    "buffalo",
    "echo",
}

# Ends as plurals do: "glasses", "scissors"; but not "glass", "octopus", "iris", "rhinoceros".
_PLURAL = re.compile(r"([^suio]|ie|oe|io)s$")
_HISS = re.compile(r"(s|x|z|ch|sh)$")

# What follows one of these describes the noun before it.
_DESCRIBES = re.compile(
    r"\s+(of|with|in|on|at|from|for|and|without|behind|over)\s|\s*[:(]|,\s"
)


def article(noun):
    """ "a" or "an", whichever is said before the noun phrase."""
    word = noun.lower().lstrip("“\"'(")
    if _VOWEL_SOUND.match(word):
        return "an"
    if _CONSONANT_SOUND.match(word):
        return "a"
    return "an" if word.startswith(_VOWELS) else "a"


def plural(phrase):
    """The phrase with its noun in the plural; what is plural already stays."""
    described = _DESCRIBES.search(phrase)
    head = phrase[: described.start()] if described else phrase
    before, word, after = re.fullmatch(r"(.*?)([^\s-]*?)(\W*)", head, re.DOTALL).groups()
    return before + _plural_word(word) + after + phrase[len(head) :]


def _plural_word(word):
    lower = word.lower()
    if lower in _IRREGULAR:
        return word[0] + _IRREGULAR[lower][1:]  # a capital stays one
    if lower.endswith("man"):
        return word[:-3] + "men"
    if not word or lower in _UNCHANGED or _PLURAL.search(lower):
        return word
    if lower in _O_TO_OES or _HISS.search(lower):
        return word + "es"
    if re.search(r"[^aeiou]y$", lower):
        return word[:-1] + "ies"
    return word + "s"
