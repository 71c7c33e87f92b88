"""Words -> token ids: trains the SentencePiece model of a pack and tabulates its words.

    pictures.jsonl --corpus--> spm.model      what cfgen tokenizes prompts with
                   --chunks--> words.json     {"word": [ids]}, what training looks captions up in

Pieces never cross white space, so the ids of a caption are the ids of its white-space chunks
one after the other, and a table of all chunks replaces the library while training: PyTorch
and SentencePiece need not be on the same machine. `check_table` proves it on whole captions
whenever a vocabulary is made.

The model is unigram, case-folded (nmt_nfkc_cf), with byte fallback; <unk> 0, <s> 1, </s> 2,
<pad> 3. Debian's `spm_train` writes it where that is installed, else the Python module
`sentencepiece`. The same pack, options and version of SentencePiece give the same bytes;
another version may not, so keep a vocabulary as long as the weights trained on it.

    python3 -m recipe.vocabulary PACK --pieces 4096
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile

from .english import article, plural

COLOURS = [
    *"white black gray grey red orange yellow green".split(),
    *"teal blue purple pink brown beige navy".split(),
    "sky blue",
]
STYLES = [
    *"noto fluent twemoji emojione firefox streamline".split(),
    "flat icon",
    "round flag",
]
KINDS = "picture icon emoji image drawing photo".split()
SIZES = "small tiny big large".split()
COUNTS = "two three four".split()
RELATIONS = ["above", "below", "over", "under", "next to", "and", "on top of"]
PLACES = [
    "in the top left corner",
    "in the top right corner",
    "in the bottom left corner",
    "in the bottom right corner",
    "in the middle",
    "in the center",
    "in the centre",
    "at the top",
    "at the bottom",
    "on the left",
    "on the right",
]
WORDING = """a an the on in at of with and or to by for from next left right top bottom above
    below over under beside between behind side one two three four five six small tiny big
    large little corner center centre middle background picture icon emoji image drawing photo
    style noto fluent twemoji emojione firefox streamline flat round flag colour color plain
    sky light dark""".split()
CHARACTERS = list("abcdefghijklmnopqrstuvwxyz0123456789")
PUNCTUATION = ".,:;!?()[]\"'“”‘’«»"

# The order and number of everything in the corpus decides the model, bit for bit.
CAPTIONS_PER_CONCEPT = 4
REPEATS = 20  # of the wording itself, which every caption has a part of


INSTALL = "Debian: apt-get install sentencepiece; others: pip install sentencepiece"


class VocabularyError(Exception):
    """Something the user can mend; the message says what."""


# --- what captions say


def read_pictures(pack_dir):
    with open(os.path.join(pack_dir, "pictures.jsonl"), encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def concepts_of(pictures):
    """One picture of each concept, in the order of the pack."""
    return list({picture["hex"]: picture for picture in pictures}.values())


def spoken(label):
    """A label as a sentence says it: "flag: Chile" -> "flag of Chile"."""
    return label.replace("flag: ", "flag of ").replace(":", "").replace('"', "")


def translations(concept, languages=None):
    """The concept's name in each of the languages, or in all there are."""
    words = concept.get("i18n") or {}
    return [words[lang][0] for lang in languages or words if words.get(lang)]


class Captions:
    """Random captions, such as training composes and people write."""

    def __init__(self, concepts, seed):
        # Of a generator only random() is promised to stay the same in every Python.
        self._random = random.Random(seed).random
        self._concepts = concepts

    def __call__(self):
        return self._scene() + self._ending()

    def _below(self, n):
        return int(self._random() * n)

    def _one_of(self, options):
        return options[self._below(len(options))]

    def _object(self):
        noun = spoken(self._one_of(self._concepts)["label"])
        kind = self._below(6)
        if kind == 0:
            return noun
        if kind == 1:
            return f"{self._one_of(COUNTS)} {plural(noun)}"
        if kind == 2:
            return f"a {self._one_of(SIZES)} {noun}"
        if kind == 3:
            return f"{self._one_of(['a', 'an'])} {self._one_of(KINDS)} of {article(noun)} {noun}"
        return f"{article(noun)} {noun}"

    def _keywords(self):
        concept = self._one_of(self._concepts)
        tags = [tag for tag in concept["tags"] if self._random() < 0.4]
        if self._random() < 0.5 or not tags:
            tags = [concept["label"], *tags]
        return " ".join(tags)

    def _scene(self):
        kind = self._below(8)
        if kind == 0:
            return self._keywords()
        if kind == 1:
            return f"{self._object()} on the left, {self._object()} on the right"
        if kind == 2:
            relation = self._one_of(RELATIONS)
            return f"{self._object()} {relation} {self._object()}"
        if kind == 3:
            return f"{self._object()} {self._one_of(PLACES)}"
        return self._object()

    def _ending(self):
        colour = self._one_of(COLOURS)
        backgrounds = ["", f" on {article(colour)} {colour} background", f" on {colour}"]
        styles = [f"{comma} {self._one_of(STYLES)} style" for comma in (",", "")]
        return self._one_of(backgrounds) + self._one_of(["", "", *styles])


def corpus_lines(pictures, seed, languages=()):
    """What the pieces are learnt from: names as often as they are drawn, keywords, captions,
    the wording; names in the languages, without their keywords, which would crowd out the
    English words."""
    concepts = concepts_of(pictures)
    labels = [concept["label"] for concept in concepts]
    wording = " ".join(WORDING + COLOURS + STYLES + KINDS)
    caption = Captions(concepts, seed)
    lines = [picture["label"] for picture in pictures]
    lines += [" ".join(concept["tags"]) for concept in concepts if concept["tags"]]
    lines += [caption() for _ in range(CAPTIONS_PER_CONCEPT * len(concepts))]
    lines += [wording] * REPEATS
    lines += [" ".join(CHARACTERS)] * REPEATS
    # The trainer considers as pieces only what begins two different chunks, however often it
    # is said; beside "cherry," the word "cherry" becomes one. Without these lines a fifth of
    # the nouns and half of the style names fall apart.
    lines += [_with_commas(text) for text in [*labels, wording]]
    if languages:
        lines += [name for concept in concepts for name in translations(concept, languages)]
    return [line.lower() for line in lines]


def _with_commas(text):
    return " ".join(word + "," for word in text.split())


# --- chunks


def _spellings(word):
    """A word of a label or tag as a caption may write it."""
    plain = word.replace("’", "'")
    bare, plain_bare = word.strip(PUNCTUATION), plain.strip(PUNCTUATION)
    undotted = [word.replace(":", ""), word.replace('"', "")]
    return {word, plain, bare, plain_bare, *plain_bare.split("-"), *undotted} - {""}


def chunks_of(pictures):
    """Every white-space chunk that captions can contain, sorted: English words also in the
    plural, names in other languages as they are, all with and without a comma."""
    words = {*WORDING, *CHARACTERS, *" ".join(COLOURS + STYLES + KINDS).split()}
    found = {","}
    for concept in concepts_of(pictures):
        label = concept["label"]
        for text in (label, spoken(label), *concept["tags"]):
            words.update(text.lower().split())
        for name in translations(concept):
            found.update(name.lower().split())
    for word in words:
        for spelling in _spellings(word):
            found |= {spelling, plural(spelling)}
    return sorted(found | {chunk + "," for chunk in found})


# --- SentencePiece, as programs or as a module


def _module():
    try:
        import sentencepiece
    except ImportError:
        return None
    return sentencepiece


def _train_options(pieces):
    # The trainer adds up over its threads in turn and writes its options, even the names of
    # files, into the model: all of them are fixed, whatever the machine and the directory.
    return {
        "input": "corpus.txt",
        "model_prefix": "spm",
        "vocab_size": pieces,
        "model_type": "unigram",
        "character_coverage": 0.9998,
        "normalization_rule_name": "nmt_nfkc_cf",
        "byte_fallback": True,
        "hard_vocab_limit": False,  # a small corpus has fewer pieces; then all of them
        "unk_id": 0,
        "bos_id": 1,
        "eos_id": 2,
        "pad_id": 3,
        "num_threads": 16,
        "minloglevel": 2,
    }


def _flag(value):
    return str(value).lower() if isinstance(value, bool) else value


def _train_command(options):
    if shutil.which("spm_train"):
        return ["spm_train", *(f"--{key}={_flag(value)}" for key, value in options.items())]
    if _module():
        code = "import json, sentencepiece as s, sys; "
        code += "s.SentencePieceTrainer.train(**json.loads(sys.argv[1]))"
        return [sys.executable, "-c", code, json.dumps(options)]
    raise VocabularyError(f"no SentencePiece is here; {INSTALL}")


def train_pieces(lines, pieces, model_path):
    """Writes the SentencePiece model of the lines."""
    command = _train_command(_train_options(pieces))
    with tempfile.TemporaryDirectory(prefix="vocabulary-") as work:
        with open(os.path.join(work, "corpus.txt"), "w", encoding="utf-8") as corpus:
            corpus.writelines(line + "\n" for line in lines)
        done = subprocess.run(command, cwd=work, capture_output=True, text=True)
        if done.returncode:
            raise VocabularyError(f"{command[0]} failed: {done.stderr.strip()}")
        shutil.copyfile(os.path.join(work, "spm.model"), model_path + ".part")
    os.replace(model_path + ".part", model_path)


def encode_lines(model_path, lines):
    """The ids of each line, or None where SentencePiece is not installed."""
    if shutil.which("spm_encode"):
        command = ["spm_encode", f"--model={model_path}", "--output_format=id"]
        text = "".join(line + "\n" for line in lines)
        done = subprocess.run(command, input=text, capture_output=True, text=True, check=True)
        encoded = done.stdout.split("\n")[: len(lines)]
        return [[int(token) for token in line.split()] for line in encoded]
    if _module():
        processor = _module().SentencePieceProcessor(model_file=model_path)
        return [processor.encode(line) for line in lines]
    return None


# --- the table


class Words:
    """The words of a pack: caption -> ids, without begin, end or padding."""

    def __init__(self, pack_dir):
        self._model = os.path.join(pack_dir, "spm.model")
        with open(os.path.join(pack_dir, "words.json"), encoding="utf-8") as file:
            self._table = json.load(file)

    def __contains__(self, chunk):
        return chunk in self._table

    def __len__(self):
        return len(self._table)

    def ids(self, text):
        return [token for chunk in text.lower().split() for token in self._ids_of_chunk(chunk)]

    def _ids_of_chunk(self, chunk):
        if chunk not in self._table:
            encoded = encode_lines(self._model, [chunk])
            if encoded is None:
                raise VocabularyError(
                    f"{chunk!r}: not in words.json, and no SentencePiece is here to split it"
                )
            self._table[chunk] = encoded[0]
        return self._table[chunk]


def write_table(pack_dir, pictures):
    """words.json, from the pack's spm.model."""
    chunks = chunks_of(pictures)
    encoded = encode_lines(os.path.join(pack_dir, "spm.model"), chunks)
    if encoded is None:
        raise VocabularyError(f"no SentencePiece is here; {INSTALL}")
    path = os.path.join(pack_dir, "words.json")
    with open(path + ".part", "w", encoding="utf-8") as file:
        json.dump(dict(zip(chunks, encoded)), file, ensure_ascii=False, separators=(",", ":"))
        file.write("\n")
    os.replace(path + ".part", path)


def check_table(pack_dir, pictures, seed, count=2000):
    """Raises unless `count` random captions and every translated name have in the table the
    ids that SentencePiece gives the whole of them."""
    concepts = concepts_of(pictures)
    caption = Captions(concepts, seed)
    texts = [caption() for _ in range(count)]
    texts += [name for concept in concepts for name in translations(concept)]
    words = Words(pack_dir)
    for text, whole in zip(texts, encode_lines(os.path.join(pack_dir, "spm.model"), texts)):
        missing = [chunk for chunk in text.lower().split() if chunk not in words]
        if missing:
            raise VocabularyError(f"{text!r}: {missing} not in words.json")
        if words.ids(text) != whole:
            raise VocabularyError(f"{text!r}: {words.ids(text)} by chunks, {whole} whole")


def train_vocabulary(pack_dir, pieces=4096, seed=1, languages=()):
    """Writes spm.model and words.json into the pack, and checks them."""
    pictures = read_pictures(pack_dir)
    lines = corpus_lines(pictures, seed, languages)
    train_pieces(lines, pieces, os.path.join(pack_dir, "spm.model"))
    write_table(pack_dir, pictures)
    check_table(pack_dir, pictures, seed + 1)


def renew_table(pack_dir, seed=1):
    """words.json of a spm.model that is to stay, after the wording of captions has grown."""
    pictures = read_pictures(pack_dir)
    write_table(pack_dir, pictures)
    check_table(pack_dir, pictures, seed + 1)


# --- the command


def add_arguments(parser):
    parser.add_argument("pack", help="directory of a pack")
    parser.add_argument("--pieces", type=int, default=4096, help="size of the vocabulary [4096]")
    parser.add_argument("--seed", type=int, default=1, help="of the captions learnt from [1]")
    parser.add_argument(
        "--languages",
        type=lambda text: tuple(text.split(",")),
        default=(),
        help="that names are learnt in beside English, such as de,fr,zh [none]",
    )
    parser.add_argument(
        "--words-only", action="store_true", help="keeps spm.model and makes words.json again"
    )


def main(args):
    if args.words_only:
        renew_table(args.pack, args.seed)
    else:
        train_vocabulary(args.pack, args.pieces, args.seed, args.languages)
    print(f"{args.pack}: {len(Words(args.pack))} words, checked on whole captions")


if __name__ == "__main__":
    command = argparse.ArgumentParser(
        prog="recipe.vocabulary", description="Makes the vocabulary of a pack."
    )
    add_arguments(command)
    try:
        main(command.parse_args())
    except (VocabularyError, OSError, subprocess.CalledProcessError) as failure:
        sys.exit(f"vocabulary: {failure}")
