"""Trains the decoder alone, after the tokenizer: the bits keep their meaning, so it may follow
any training of the transformer. It reads codes with some bits flipped, as a transformer makes
them. With --sharpen a small critic makes edges crisp in the second half, at the price of a
little PSNR."""
import torch

from . import bsq, pack, run, tokenizer
from .critic import Critic, weight_of

FLIPS = 0.06
SHARPEN_FROM = 0.5       # of the samples
CRITIC_RATE = 4e-4


def add_arguments(parser):
    run.add_arguments(parser)
    parser.add_argument("--sharpen", type=float, default=0.0, metavar="WEIGHT",
                        help="of the critic in the second half, to the distance: 0.3 [0, none]")


def train(options, preset):
    where = run.device()
    torch.manual_seed(options.seed)
    vae = tokenizer.network(preset).to(where, memory_format=run.picture_layout(where))
    vae.load_state_dict(run.load(tokenizer.checkpoint(options.directory), where)["average"])
    vae.encoder.requires_grad_(False)
    bits = run.hash_of_weights(vae.state_dict(), "encoder.")
    job = run.Run(options.directory, "decoder", preset,
                  options.samples or preset.tokenizer_samples, options.minutes,
                  {"tokenizer": bits})
    critic = Critic().to(where)
    optimizer = tokenizer.optimizer_of(vae.decoder.parameters(), preset)
    critic_optimizer = torch.optim.AdamW(critic.parameters(), lr=CRITIC_RATE, betas=(0.5, 0.9))
    average = run.Average(vae, preset.average)
    job.keep(model=vae, average=average, optimizer=optimizer, critic=critic,
             critic_optimizer=critic_optimizer)
    pictures = pack.read(options.pack, preset.pixels, options.sets or preset.sets,
                         options.concepts)
    for x in tokenizer.feed(pictures, preset, where, options.seed + job.steps):
        if not job.goes_on():
            break
        tokenizer.set_rate(optimizer, job, preset)
        sharpen = options.sharpen if job.share > SHARPEN_FROM else 0.0
        with run.autocast(where):
            y, loss, figures = losses(vae, critic, x, preset.scales, sharpen)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(vae.decoder.parameters(), 1.0)
        optimizer.step()
        average.update()
        if sharpen:
            with run.autocast(where):
                critic_loss = critic.loss(x, y.detach())
            critic_optimizer.zero_grad(set_to_none=True)
            critic_loss.backward()
            critic_optimizer.step()
            figures["critic"] = critic_loss.detach()
        job.done(len(x), **figures)
    job.end()
    run.curves_if_possible(job)


def losses(vae, critic, x, scales, sharpen):
    """The decoded pictures, the loss, what is told of it."""
    with torch.no_grad():
        codes = bsq.tokens(vae.encoder(x), scales, FLIPS)[2]
    y = vae.decoder(codes).float()
    loss = tokenizer.distance(y - x)
    figures = {"loss": loss.detach(), "psnr": tokenizer.psnr((y - x).detach()).mean()}
    if sharpen:
        opinion = -critic(y).float().mean()
        loss = loss + sharpen * weight_of(loss, opinion, vae.decoder.conv_out.conv.weight) * opinion
    return y, loss, figures
