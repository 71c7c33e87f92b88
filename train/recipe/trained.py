"""What a run has learned, ready for use: the averages of its checkpoints.

    RUN/tokenizer.pt     encoder and decoder
    RUN/decoder.pt       a decoder trained further, where there is one: it takes its place
    RUN/transformer.pt   text encoder and transformer
"""
import os

import torch

from . import bsq, run, tokenizer, transformer
from .vocabulary import Words

BATCH = 64   # pictures at once; part of what a seed means, so the same on every device


def average_of(directory, name, preset, made_with=None):
    """A checkpoint's weight average, after checks; and what it has seen."""
    path = os.path.join(directory, name + ".pt")
    saved = run.load(path, "cpu")
    run.check_same(path, saved["preset"], preset)
    run.check_made_with(path, saved, made_with or {})
    return saved["average"], {"samples": saved["seen"], "minutes": round(saved["seconds"] / 60)}


def tokenizer_of(directory, preset):
    """Encoder and decoder, the decoder from decoder.pt where it was trained on alone; and
    {checkpoint: what it has seen}."""
    state, seen = average_of(directory, "tokenizer", preset)
    progress = {"tokenizer": seen}
    if os.path.exists(os.path.join(directory, "decoder.pt")):
        bits = {"tokenizer": run.hash_of_weights(state, "encoder.")}
        later, progress["decoder"] = average_of(directory, "decoder", preset, bits)
        state.update((k, v) for k, v in later.items() if k.startswith("decoder."))
    return state, progress


def transformer_of(directory, name, preset, pack, tokenizer_state):
    """Text encoder and transformer; and what they have seen."""
    return average_of(directory, name, preset, transformer.made_with(pack, tokenizer_state))


class Trained:
    """The networks of a run. `name` of the transformer's checkpoint, or None where only the
    tokenizer is needed."""

    def __init__(self, directory, preset, pack, name="transformer"):
        self.preset, self.where = preset, run.device()
        state, self.progress = tokenizer_of(directory, preset)
        self.vae = self.ready(tokenizer.network(preset), state)
        self.model = None
        if name:
            self.words = Words(pack)
            learned, self.progress[name] = transformer_of(directory, name, preset, pack, state)
            self.model = self.ready(transformer.Model(preset), learned)

    def ready(self, network, state):
        network.load_state_dict(state)
        return network.to(self.where).eval().requires_grad_(False)

    @torch.no_grad()
    def encode(self, pictures):
        """[n, 3, S, S] in [-1, 1] -> latents [n, bits, H, H]."""
        return torch.cat([self.vae.encoder(x.to(self.where)) for x in pictures.split(BATCH)])

    @torch.no_grad()
    def decode(self, codes):
        """Summed codes -> [n, 3, S, S] in [-1, 1]."""
        return torch.cat([self.vae.decoder(c) for c in codes.split(BATCH)]).clamp(-1, 1)

    def reconstruct(self, pictures):
        """What the bits of the pictures show: the best that a transformer can reach."""
        return self.decode(bsq.tokens(self.encode(pictures), self.preset.scales)[2])

    def ids(self, captions):
        """-> ids [n, T], valid [n, T], as the model takes them."""
        rows = [transformer.ids_of(self.words, c, self.preset) for c in captions]
        return (t.to(self.where) for t in transformer.padded(rows))

    @torch.no_grad()
    def sample(self, captions, guidance, temperature, seed, flips=None):
        """Pictures [n, 3, S, S] of n captions. flips: see Infinity.sample."""
        out = []
        for at in range(0, len(captions), BATCH):
            generator = torch.Generator().manual_seed(1000003 * seed + at)
            ids, valid = self.ids(captions[at:at + BATCH])
            codes = self.model.sample(ids, valid, guidance, temperature, generator, flips)
            out.append(self.decode(codes))
        return torch.cat(out)
