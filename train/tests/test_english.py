"""Articles follow the sound, plurals the spelling; what describes a noun stays behind it."""

import unittest

from recipe.english import article, plural


class English(unittest.TestCase):
    def test_a_before_a_consonant_sound(self):
        for noun in "cat unicorn ukulele euro one-piece UFO European-castle yo-yo".split():
            self.assertEqual(article(noun), "a", noun)

    def test_an_before_a_vowel_sound(self):
        for noun in "octopus hourglass apple x-ray 8ball umbrella egg A orange OK SOS".split():
            self.assertEqual(article(noun), "an", noun)

    def test_regular_plurals(self):
        regular = "cat cats fox foxes cherry cherries toy toys glass glasses watch watches"
        regular += " octopus octopuses bus buses giraffe giraffes flamingo flamingos"
        self.check_pairs(regular)

    def test_exceptions(self):
        self.check_pairs("knife knives policeman policemen woman women human humans person people")
        self.check_pairs("tomato tomatoes sheep sheep ox oxen Child Children")

    def test_what_is_plural_stays(self):
        self.check_pairs("glasses glasses scissors scissors eyes eyes cookies cookies")

    def test_the_noun_of_a_phrase(self):
        phrases = {
            "red apple": "red apples",
            "tiger face": "tiger faces",
            "t-shirt": "t-shirts",
            "slice of pizza": "slices of pizza",
            "house with garden": "houses with garden",
            "flag: Chile": "flags: Chile",
            "button (blood type)": "buttons (blood type)",
        }
        for phrase, expected in phrases.items():
            self.assertEqual(plural(phrase), expected)

    def test_punctuation_and_nothing(self):
        self.check_pairs("cat, cats, ! !")
        self.assertEqual(plural(""), "")

    def check_pairs(self, text):
        words = text.split()
        for singular, expected in zip(words[::2], words[1::2]):
            self.assertEqual(plural(singular), expected)


if __name__ == "__main__":
    unittest.main()
