"""Ids by chunks are the ids of the whole caption, and the same pack gives the same bytes."""

import json
import os
import shutil
import tempfile
import unittest

from recipe import vocabulary

NAMES = "cat dog frog lion tiger bear wolf apple banana cherry pizza castle octopus".split()


def make_pack(directory):
    with open(os.path.join(directory, "pictures.jsonl"), "w", encoding="utf-8") as file:
        labels = [*NAMES, "flag: Chile", "woman’s hat", "A button (blood type)"]
        for i, name in enumerate(labels):
            picture = {"i": i, "hex": str(i), "label": name, "tags": [f"{name} thing", "8ball"]}
            picture["i18n"] = {"zh": ["猫", "动物"], "fr": ["l’île, au loin", "île"]}
            file.write(json.dumps(picture) + "\n")


def read(directory, name):
    with open(os.path.join(directory, name), "rb") as file:
        return file.read()


class Chunks(unittest.TestCase):
    def test_words_of_labels_come_plain_plural_and_with_a_comma(self):
        with tempfile.TemporaryDirectory() as pack:
            make_pack(pack)
            chunks = vocabulary.chunks_of(vocabulary.read_pictures(pack))
        said = "cat cats cats, flag: flag flags woman's woman’s type) type 猫 l’île, sky"
        for chunk in said.split():
            self.assertIn(chunk, chunks)

    def test_captions_are_the_same_for_the_same_seed(self):
        concepts = [{"label": name, "tags": ["thing"]} for name in NAMES]
        first, again, other = (vocabulary.Captions(concepts, seed) for seed in (1, 1, 2))
        texts = [first() for _ in range(50)]
        self.assertEqual(texts, [again() for _ in range(50)])
        self.assertNotEqual(texts, [other() for _ in range(50)])


@unittest.skipUnless(shutil.which("spm_train"), "needs spm_train (Debian: sentencepiece)")
class Vocabulary(unittest.TestCase):
    def setUp(self):
        holder = tempfile.TemporaryDirectory()
        self.addCleanup(holder.cleanup)
        self.pack = holder.name
        make_pack(self.pack)
        # Raises where a chunk is missing or has other ids than in its caption.
        vocabulary.train_vocabulary(self.pack, pieces=400, languages=("zh",))

    def test_the_same_pack_gives_the_same_bytes(self):
        first = [read(self.pack, name) for name in ("spm.model", "words.json")]
        vocabulary.train_vocabulary(self.pack, pieces=400, languages=("zh",))
        self.assertEqual(first, [read(self.pack, name) for name in ("spm.model", "words.json")])

    def test_the_table_alone_can_be_renewed(self):
        first = read(self.pack, "spm.model"), read(self.pack, "words.json")
        os.remove(os.path.join(self.pack, "words.json"))
        vocabulary.renew_table(self.pack)
        self.assertEqual(first, (read(self.pack, "spm.model"), read(self.pack, "words.json")))

    def test_case_does_not_matter(self):
        words = vocabulary.Words(self.pack)
        self.assertEqual(words.ids("A Green FROG"), words.ids("a green frog"))

    def test_an_unknown_word_is_split_by_sentencepiece(self):
        words = vocabulary.Words(self.pack)
        self.assertNotIn("zorbly", words)
        model = os.path.join(self.pack, "spm.model")
        self.assertEqual([words.ids("zorbly")], vocabulary.encode_lines(model, ["zorbly"]))

    def test_without_sentencepiece_an_unknown_word_is_named(self):
        words = vocabulary.Words(self.pack)
        self.addCleanup(setattr, vocabulary, "encode_lines", vocabulary.encode_lines)
        vocabulary.encode_lines = lambda model, lines: None
        with self.assertRaisesRegex(vocabulary.VocabularyError, "zorbly"):
            words.ids("a zorbly cat")


if __name__ == "__main__":
    unittest.main()
