"""Trains the tokenizer: pictures -> bits -> pictures.

The loss compares in luma and chroma, with chroma weighted, because plain RGB distance learns
shapes long before hues; it has terms for edges at three sizes and for averages over blocks.
A short plain autoencoder comes first, so that the quantizer meets latents that mean something.
With decoder_only the bits keep their meaning and only the decoder is trained, on codes with
some bits flipped, as a transformer makes them."""
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
DECODER_FLIPS = 0.06
WARM_UP = 100            # steps


def add_arguments(parser):
    run.add_arguments(parser)
    parser.add_argument("--decoder-only", action="store_true",
                        help="trains the decoder alone after tokenizer.pt: decoder.pt")


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


def train(options, preset):
    where = run.device()
    torch.manual_seed(options.seed)
    samples = options.samples or preset.tokenizer_samples
    name = "decoder" if options.decoder_only else "tokenizer"
    vae = network(preset).to(where, memory_format=run.picture_layout(where))
    made_with = {}
    if options.decoder_only:
        vae.load_state_dict(run.load(os.path.join(options.directory, "tokenizer.pt"),
                                     where)["average"])
        vae.encoder.requires_grad_(False)
        made_with["tokenizer"] = run.hash_of_weights(vae.state_dict(), "encoder.")
    job = run.Run(options.directory, name, preset, samples, options.minutes, made_with)
    trained = [p for p in vae.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=preset.tokenizer_rate, betas=(0.9, 0.95),
                                  weight_decay=1e-4)
    average = run.Average(vae, preset.average)
    job.keep(model=vae, average=average, optimizer=optimizer)
    pictures = pack.read(options.pack, preset.pixels, options.sets or preset.sets,
                         options.concepts)
    print(f"{len(pictures)} pictures, {sum(p.numel() for p in trained) / 1e6:.2f} M weights, "
          f"{where}", flush=True)
    step = run.compiled(decoder_loss if options.decoder_only else whole_loss, where)
    for x in feed(pictures, preset, where, options.seed + job.steps):
        if not job.goes_on():
            break
        for group in optimizer.param_groups:
            group["lr"] = run.rate_at(job.share, job.steps, preset.tokenizer_rate, WARM_UP)
        plain = job.share < WARM_START
        ramp = torch.tensor(min(1.0, job.steps / COMMITMENT_RAMP), device=where)
        with run.autocast(where):
            loss, figures = step(vae, x, preset.scales, plain, ramp)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        average.update()
        job.done(len(x), loss=loss.detach(), **figures)
    job.end()
    run.curves_if_possible(job)


def whole_loss(vae, x, scales, plain, ramp):
    z = vae.encoder(x)
    total, commitment, uncertainty = bsq.quantize(z, scales)
    error = vae.decoder(z.float() if plain else total).float() - x
    loss = distance(error) + COMMITMENT * ramp * commitment + ENTROPY * uncertainty
    return loss, {"psnr": psnr(error.detach()).mean(), "commitment": commitment.detach(),
                  "entropy": uncertainty.detach()}


def decoder_loss(vae, x, scales, plain, ramp):
    with torch.no_grad():
        total = bsq.tokens(vae.encoder(x), scales, DECODER_FLIPS)[2]
    error = vae.decoder(total).float() - x
    return distance(error), {"psnr": psnr(error.detach()).mean()}
