"""Every number of a run, by name. What is not here is not tuned."""
import dataclasses

from .scenes import Mix

EMOJI = ("noto", "fluent-emoji-flat", "twemoji", "emojione", "fxemoji", "streamline-emojis",
         "flat-color-icons", "circle-flags")


@dataclasses.dataclass(frozen=True)
class Preset:
    name: str
    # pictures
    pixels: int
    sets: tuple
    concepts: str            # file of concepts in order of use, or "" for all
    pieces: int              # of the vocabulary
    mix: Mix
    # tokenizer: vae.py, bsq.py
    base: int
    ch_mult: tuple
    res_blocks: int
    bits: int
    scales: tuple
    tokenizer_batch: int
    tokenizer_samples: int   # of the whole training
    tokenizer_rate: float
    # transformer: infinity.py, textenc.py
    width: int
    depth: int
    heads: int
    text_width: int
    text_layers: int
    text_hidden: int
    text_heads: int
    text_kv_heads: int
    text_tokens: int         # at most, the end mark not counted
    batch: int
    samples: int
    rate: float
    average: float           # decay of the weight average
    reuse: int               # how often an encoded batch is used


EMOJI_64 = Preset(
    name="emoji-64", pixels=64, sets=("noto",), concepts="emoji-64.txt", pieces=4096,
    mix=Mix(background=0.6, two=0.36, count=0.04, small=0.12, moved=0.2),
    base=24, ch_mult=(1, 2, 4, 4), res_blocks=1, bits=16, scales=(1, 2, 4, 6, 8),
    tokenizer_batch=16, tokenizer_samples=140_000, tokenizer_rate=1.5e-3,
    width=192, depth=6, heads=3, text_width=256, text_layers=4, text_hidden=512,
    text_heads=4, text_kv_heads=2, text_tokens=30,
    batch=32, samples=400_000, rate=1.5e-3, average=0.998, reuse=4)

EMOJI_128 = Preset(
    name="emoji-128", pixels=128, sets=EMOJI, concepts="", pieces=8192,
    mix=Mix(background=0.4, two=0.12, count=0.05, small=0.08, languages=0.05),
    base=32, ch_mult=(1, 2, 4, 4), res_blocks=1, bits=16, scales=(1, 2, 4, 6, 8, 12, 16),
    tokenizer_batch=128, tokenizer_samples=450_000, tokenizer_rate=1e-3,
    width=320, depth=7, heads=5, text_width=256, text_layers=4, text_hidden=512,
    text_heads=4, text_kv_heads=2, text_tokens=30,
    batch=512, samples=3_000_000, rate=1e-3, average=0.9995, reuse=1)

# Seconds, for tests: no picture comes of it.
TINY = Preset(
    name="tiny", pixels=32, sets=("noto",), concepts="", pieces=4096, mix=Mix(),
    base=24, ch_mult=(1, 1, 2), res_blocks=1, bits=8, scales=(1, 2, 4, 8),
    tokenizer_batch=8, tokenizer_samples=16, tokenizer_rate=1e-3,
    width=64, depth=2, heads=2, text_width=128, text_layers=1, text_hidden=128,
    text_heads=2, text_kv_heads=1, text_tokens=30,
    batch=8, samples=16, rate=1e-3, average=0.9, reuse=1)

PRESETS = {p.name: p for p in (EMOJI_64, EMOJI_128, TINY)}
