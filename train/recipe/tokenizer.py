"""Trains the tokenizer: pictures -> bits -> pictures.

The loss compares in luma and chroma, with chroma weighted, because plain RGB distance learns
shapes long before hues; it has terms for edges at three sizes and for averages over blocks.
A short plain autoencoder comes first, so that the quantizer meets latents that mean
something. decoder.py goes on with the decoder alone."""
import os

import torch
import torch.nn.functional as F

from . import bsq, pack, run
from .compose import Compositor, tensors_of
from .scenes import PLAIN, Scenes
from .vae import VAE

CHROMA = 2.5
COMMITMENT, COMMITMENT_RAMP = 0.25, 200
ENTROPY = 0.1
WARM_START = 0.05        # of the samples, as a plain autoencoder
WARM_UP = 100            # steps

add_arguments = run.add_arguments


def network(preset):
    return VAE(preset.base, preset.ch_mult, preset.res_blocks, preset.bits)


def luma_chroma(rgb):
    """[n, 3, h, w] -> luma, weighted blue and red differences (BT.601)."""
    r, g, b = rgb.unbind(1)
    y = 0.299 * r + 0.587 * g + 0.114 * b
    return torch.stack((y, CHROMA * 0.564 * (b - y), CHROMA * 0.713 * (r - y)), 1)


def distance(error):
    """Of the difference of two pictures [n, 3, S, S]; all terms are linear in it or even."""
    e = luma_chroma(error)
    edges = 0.0
    for k in (1, 2, 4):
        p = e if k == 1 else F.avg_pool2d(e, k)
        edges = edges + (p[..., 1:] - p[..., :-1]).abs().mean()
        edges = edges + (p[..., 1:, :] - p[..., :-1, :]).abs().mean()
    blocks = sum(F.avg_pool2d(e, k).abs().mean() for k in (4, 8, 16))
    return e.abs().mean() + (e * e).mean() + 0.3 * edges + 0.7 * blocks


def psnr(error):
    """dB per picture, of [n, 3, S, S] in units where the range is 2."""
    return -10 * torch.log10((error.clamp(-2, 2) ** 2).flatten(1).mean(1) / 4 + 1e-10)


def feed(pictures, preset, where, seed):
    """Batches of composed pictures for ever."""
    compositor = Compositor(pictures.rgba, where)
    scenes = Scenes(pictures.pictures, seed)
    while True:
        mix = preset.mix if scenes.random.random() < 0.8 else PLAIN
        yield compositor.pictures(*tensors_of(
            [scenes.draw(mix) for _ in range(preset.tokenizer_batch)]))


def checkpoint(directory):
    return os.path.join(directory, "tokenizer.pt")


def optimizer_of(parameters, preset):
    return torch.optim.AdamW(parameters, lr=preset.tokenizer_rate, betas=(0.9, 0.95),
                             weight_decay=1e-4)


def set_rate(optimizer, job, preset):
    for group in optimizer.param_groups:
        group["lr"] = run.rate_at(job.share, job.steps, preset.tokenizer_rate, WARM_UP)


def train(options, preset):
    where = run.device()
    torch.manual_seed(options.seed)
    job = run.Run(options.directory, "tokenizer", preset,
                  options.samples or preset.tokenizer_samples, options.minutes)
    vae = network(preset).to(where, memory_format=run.picture_layout(where))
    optimizer = optimizer_of(vae.parameters(), preset)
    average = run.Average(vae, preset.average)
    job.keep(model=vae, average=average, optimizer=optimizer)
    pictures = pack.read(options.pack, preset.pixels, options.sets or preset.sets,
                         options.concepts)
    print(f"{len(pictures)} pictures, {sum(p.numel() for p in vae.parameters()) / 1e6:.2f} M "
          f"weights, {where}", flush=True)
    step = run.compiled(loss_of, where)
    for x in feed(pictures, preset, where, options.seed + job.steps):
        if not job.goes_on():
            break
        set_rate(optimizer, job, preset)
        plain = job.share < WARM_START
        ramp = torch.tensor(min(1.0, job.steps / COMMITMENT_RAMP), device=where)
        with run.autocast(where):
            loss, figures = step(vae, x, preset.scales, plain, ramp)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimizer.step()
        average.update()
        job.done(len(x), loss=loss.detach(), **figures)
    job.end()
    run.curves_if_possible(job)


def loss_of(vae, x, scales, plain, ramp):
    """The loss of one batch, what is told of it. plain: as an autoencoder without bits."""
    z = vae.encoder(x)
    total, commitment, uncertainty = bsq.quantize(z, scales)
    error = vae.decoder(z.float() if plain else total).float() - x
    loss = distance(error) + COMMITMENT * ramp * commitment + ENTROPY * uncertainty
    return loss, {"psnr": psnr(error.detach()).mean(), "commitment": commitment.detach(),
                  "entropy": uncertainty.detach()}
