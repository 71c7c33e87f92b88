"""Trains the transformer and the text encoder together: words -> bits, with bitwise
self-correction (bsq.tokens) and now and then no words at all, for guidance.

The tokenizer is frozen. Where encoding costs, a batch is encoded once and used a few times
with other bits flipped. At first the pictures are single things on white, and few; then more
of them and everything that scenes.py can do."""
import os
import random

import torch
import torch.nn as nn

from . import bsq, pack, run, tokenizer
from .compose import Compositor, tensors_of
from .infinity import Infinity
from .muon import Muon
from .scenes import PLAIN, Scenes
from .textenc import TextEncoder
from .vocabulary import Words

STRENGTH = 0.3           # of self-correction
NO_WORDS = 0.1           # of the rows
PLAIN_UNTIL = 1 / 3      # of the samples
ALL_FROM = 1 / 4         # of the samples on: all concepts
FEW = 0.4                # of the concepts at the beginning
POOL = 64                # encoded batches to choose from where they are used again
WARM_UP = 150
DECAY = 0.02
END = 2                  # the piece that ends a text


def add_arguments(parser):
    run.add_arguments(parser)
    parser.add_argument("--no-self-correction", dest="self_correction", action="store_false",
                        help="flips no bits: transformer-uncorrected.pt, to compare with")


class Model(nn.Module):
    """Text encoder and transformer in one, as they are trained."""

    def __init__(self, preset):
        super().__init__()
        self.text = TextEncoder(preset.pieces, preset.text_width, preset.text_hidden,
                                preset.text_layers, preset.text_heads, preset.text_kv_heads)
        self.infinity = Infinity(preset.width, preset.depth, preset.heads, preset.bits,
                                 preset.text_width, preset.text_tokens + 2, preset.scales)

    def loss(self, ids, valid, dropped, labels, inputs):
        condition = self.infinity.condition(self.text(ids), valid, dropped)
        return self.infinity.loss(labels, inputs, condition)

    def sample(self, ids, valid, guidance, temperature, generator=None, flips=None):
        return self.infinity.sample(self.text(ids), valid, guidance, temperature, generator,
                                    flips)


def padded(rows, longest=0):
    """Lists of ids -> ids [B, T] and which of them are valid, bool [B, T]; T is that of the
    longest row, or more."""
    longest = max(longest, *map(len, rows))
    ids = torch.zeros(len(rows), longest, dtype=torch.long)
    valid = torch.zeros(len(rows), longest, dtype=torch.bool)
    for i, row in enumerate(rows):
        ids[i, :len(row)] = torch.tensor(row)
        valid[i, :len(row)] = True
    return ids, valid


def ids_of(words, caption, preset):
    return words.ids(caption)[:preset.text_tokens] + [END]


class Batches:
    """Encoded batches: latents (half precision), ids, valid."""

    def __init__(self, pictures, words, encoder, preset, where, seed):
        self.compositor = Compositor(pictures.rgba, where)
        self.scenes = Scenes(pictures.pictures, seed)
        self.random = random.Random(seed)
        self.words, self.encoder, self.preset, self.where = words, encoder, preset, where
        self.pool = []

    def next(self, share):
        """The batch at this share of the training."""
        if len(self.pool) == POOL and self.random.random() > 1 / self.preset.reuse:
            return self.random.choice(self.pool)
        batch = self.fresh(share)
        if self.preset.reuse > 1:
            if len(self.pool) == POOL:
                self.pool[self.random.randrange(POOL)] = batch
            else:
                self.pool.append(batch)
        return batch

    def fresh(self, share):
        self.scenes.choose(FEW + (1 - FEW) * min(1.0, share / ALL_FROM))
        mix = PLAIN if share < PLAIN_UNTIL else self.preset.mix
        scenes = [self.scenes.draw(mix) for _ in range(self.preset.batch)]
        # One shape for all batches where every new one would be compiled.
        longest = self.preset.text_tokens + 1 if self.where.type == "cuda" else 0
        ids, valid = padded([ids_of(self.words, s.caption, self.preset) for s in scenes],
                            longest)
        pictures = self.compositor.pictures(*tensors_of(scenes))
        with torch.no_grad(), run.autocast(self.where):
            z = self.encoder(pictures)
        return z.half(), ids.to(self.where), valid.to(self.where)


def optimizers(model, rate):
    """Muon for the matrices of the transformer's blocks, AdamW for all else; weight decay on
    matrices only."""
    inner = [p for p in model.infinity.blocks.parameters() if p.ndim == 2]
    of_inner = {id(p) for p in inner}
    rest = [p for p in model.parameters() if id(p) not in of_inner]
    adam = torch.optim.AdamW(
        [dict(params=[p for p in rest if p.ndim == 2], weight_decay=DECAY),
         dict(params=[p for p in rest if p.ndim != 2], weight_decay=0.0)],
        lr=rate, betas=(0.9, 0.97))
    return adam, Muon(inner, rate, weight_decay=DECAY)


def made_with(pack_directory, tokenizer_state):
    """What the ids and the bits of a training mean."""
    return {"vocabulary": run.hash_of_file(os.path.join(pack_directory, "spm.model")),
            "tokenizer": run.hash_of_weights(tokenizer_state, "encoder.")}


def encoder_of(tokenizer_state, preset, where):
    vae = tokenizer.network(preset).to(where, memory_format=run.picture_layout(where))
    vae.load_state_dict(tokenizer_state)
    return vae.encoder.eval().requires_grad_(False)


def train(options, preset):
    where = run.device()
    torch.manual_seed(options.seed)
    name = "transformer" if options.self_correction else "transformer-uncorrected"
    bits_of = run.load(tokenizer.checkpoint(options.directory), where)["average"]
    job = run.Run(options.directory, name, preset, options.samples or preset.samples,
                  options.minutes, made_with(options.pack, bits_of))
    model = Model(preset).to(where)
    average = run.Average(model, preset.average)
    adam, muon = optimizers(model, preset.rate)
    job.keep(model=model, average=average, adam=adam, muon=muon)
    pictures = pack.read(options.pack, preset.pixels, options.sets or preset.sets,
                         options.concepts)
    batches = Batches(pictures, Words(options.pack), encoder_of(bits_of, preset, where),
                      preset, where, options.seed + job.steps)
    print(f"{len(pictures)} pictures, "
          f"{sum(p.numel() for p in model.infinity.parameters()) / 1e6:.2f} M weights, text "
          f"encoder {sum(p.numel() for p in model.text.parameters()) / 1e6:.2f} M, {where}",
          flush=True)
    loss_of = run.compiled(model.loss, where)
    strength = STRENGTH if options.self_correction else 0.0
    while job.goes_on():
        z, ids, valid = batches.next(job.share)
        labels, inputs, _ = bsq.tokens(z, preset.scales, strength)
        dropped = torch.rand(len(z), device=where) < NO_WORDS
        with run.autocast(where):
            loss, right = loss_of(ids, valid, dropped, labels, inputs)
        for o in (adam, muon):
            o.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 2.0)
        for o in (adam, muon):
            for group in o.param_groups:
                group["lr"] = run.rate_at(job.share, job.steps, preset.rate, WARM_UP)
            o.step()
        average.update()
        job.done(len(z), loss=loss.detach(), **by_scale(right, preset.scales))
    job.end()
    run.curves_if_possible(job)


def by_scale(right, scales):
    """Mean share of right bits, by side of the scale."""
    out, done = {}, 0
    for h in scales:
        out[f"right_{h}"] = right[:, done:done + h * h].mean()
        done += h * h
    return out
