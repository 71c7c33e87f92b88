"""What every training has in common: a time box, checkpoints, a learning rate, a weight
average, progress and curves."""
import contextlib
import dataclasses
import hashlib
import json
import os
import signal
import sys
import time

import torch

SAVE_SECONDS = 180
TELL_SECONDS = 30


class RunError(Exception):
    """A run that cannot start: what, where, what to do."""


def add_arguments(parser):
    """What both trainings take."""
    parser.add_argument("--minutes", type=float, default=30,
                        help="ends after so long, with a checkpoint [30]")
    parser.add_argument("--samples", type=int, help="of the whole training [the preset's]")
    parser.add_argument("--seed", type=int, default=0)


def device():
    """The GPU, if PyTorch sees one; else all processors that this process may use. PyTorch
    alone takes half of them, for it counts every second one as a second thread of a core."""
    if torch.cuda.is_available():
        torch.set_float32_matmul_precision("high")
        return torch.device("cuda")
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(len(os.sched_getaffinity(0)))
    return torch.device("cpu")


def autocast(where):
    """bf16 on a GPU. On processors f32 is faster with the libraries of Debian 12."""
    if where.type == "cuda":
        return torch.autocast("cuda", dtype=torch.bfloat16)
    return contextlib.nullcontext()


def picture_layout(where):
    """How convolutions want their tensors. On processors the planes are as fast."""
    return torch.channels_last if where.type == "cuda" else torch.contiguous_format


def compiled(module_or_function, where):
    """Compiled where that helps: on a GPU, by a PyTorch that can."""
    if where.type == "cuda" and hasattr(torch, "compile"):
        return torch.compile(module_or_function)
    return module_or_function


def rate_at(share, step, top, warm_up):
    """Learning rate: linear warm-up by steps, constant, from 60 % of the samples linearly to
    3 %."""
    falling = max(0.03, 1 - (share - 0.6) / 0.4) if share > 0.6 else 1.0
    return top * min(1.0, (step + 1) / warm_up) * falling


class Average:
    """Exponential moving average of a module's weights; buffers are copied."""

    def __init__(self, module, decay):
        self.module, self.decay, self.steps = module, decay, 0
        self.state = {k: v.detach().clone() for k, v in module.state_dict().items()}

    @torch.no_grad()
    def update(self):
        self.steps += 1
        decay = min(self.decay, self.steps / (self.steps + 20))
        now = self.module.state_dict()
        floats = [k for k, v in now.items() if v.is_floating_point()]
        kept = [self.state[k] for k in floats]
        torch._foreach_mul_(kept, decay)
        torch._foreach_add_(kept, [now[k] for k in floats], alpha=1 - decay)


class Run:
    """One training in a directory: NAME.pt is its checkpoint, NAME.jsonl its log. It goes on
    from the checkpoint when there is one and ends after `minutes`, after `samples` in all, or
    at SIGTERM or SIGINT, each time with a checkpoint."""

    def __init__(self, directory, name, preset, samples, minutes, made_with=None):
        os.makedirs(directory, exist_ok=True)
        self.path = os.path.join(directory, name + ".pt")
        self.log_path = os.path.join(directory, name + ".jsonl")
        self.preset, self.samples = preset, samples
        self.made_with = made_with or {}
        self.parts = {}
        self.steps = self.seen = 0
        self.seconds = 0.0
        self.started = self.saved = self.told = time.monotonic()
        self.ends = self.started + 60 * minutes
        self.stopped = False
        self.seen_before = 0
        self.means = {}
        for s in (signal.SIGTERM, signal.SIGINT):
            signal.signal(s, self.stop)

    def stop(self, *_):
        self.stopped = True

    def keep(self, **parts):
        """Names what a checkpoint holds: objects with state_dict and load_state_dict, or an
        Average; and takes their states from the checkpoint."""
        self.parts = parts
        if not os.path.exists(self.path):
            return
        saved = load(self.path, "cpu")
        check_same(self.path, saved["preset"], self.preset)
        check_made_with(self.path, saved, self.made_with)
        for name, part in parts.items():
            if isinstance(part, Average):
                for k, v in saved[name].items():
                    part.state[k].copy_(v)
                part.steps = saved["steps"]
            else:
                part.load_state_dict(saved[name])
        self.steps, self.seen, self.seconds = saved["steps"], saved["seen"], saved["seconds"]
        self.seen_before = self.seen
        print(f"{self.path}: goes on after {self.seen} samples", flush=True)

    @property
    def share(self):
        return self.seen / self.samples

    def goes_on(self):
        return not self.stopped and self.seen < self.samples and time.monotonic() < self.ends

    def done(self, count, **figures):
        """One step over `count` samples is done. Figures are tensors or numbers; their running
        means are told and logged. Reading a tensor waits for the device, so that is done only
        now and then."""
        self.steps += 1
        self.seen += count
        now = time.monotonic()
        if self.steps % 10 == 0 or self.steps < 10:
            for k, v in figures.items():
                v = float(v)
                self.means[k] = v if k not in self.means else 0.9 * self.means[k] + 0.1 * v
        if now - self.told >= TELL_SECONDS:
            self.tell(now)
        if now - self.saved >= SAVE_SECONDS:
            self.save()

    def elapsed(self):
        return self.seconds + time.monotonic() - self.started

    def tell(self, now):
        self.told = now
        spent = now - self.started
        speed = (self.seen - self.seen_before) / spent
        left = min((self.samples - self.seen) / speed, self.ends - now)
        figures = "  ".join(f"{k} {v:.4g}" for k, v in self.means.items())
        print(f"{self.seen}/{self.samples} ({100 * self.share:.1f} %)  {speed:.1f}/s  {figures}"
              f"  ends in {left / 60:.1f} min", flush=True)
        with open(self.log_path, "a", encoding="utf-8") as f:
            f.write(json.dumps({"seen": self.seen, "seconds": round(self.elapsed()),
                                **{k: round(v, 5) for k, v in self.means.items()}}) + "\n")

    def save(self):
        """Written beside, flushed to the disk, renamed: a kill leaves the old or the new."""
        self.saved = time.monotonic()
        state = {name: part.state if isinstance(part, Average) else part.state_dict()
                 for name, part in self.parts.items()}
        state.update(preset=dataclasses.asdict(self.preset), made_with=self.made_with,
                     steps=self.steps, seen=self.seen, seconds=self.elapsed())
        part = self.path + ".part"
        with open(part, "wb") as f:
            torch.save(state, f)
            f.flush()
            os.fsync(f.fileno())
        os.replace(part, self.path)

    def end(self):
        if self.steps and self.means:
            self.tell(time.monotonic())
        self.save()
        whole = "the whole" if self.seen >= self.samples else "a part"
        print(f"{self.path}: {whole} of {self.samples} samples, {self.seen} seen, "
              f"{self.elapsed() / 60:.0f} min", flush=True)


def load(path, where):
    """A checkpoint. Only ours are read: they hold tensors, numbers and names."""
    try:
        return torch.load(path, map_location=where)
    except FileNotFoundError:
        raise RunError(f"{path}: no such checkpoint; train that part first") from None


# What a checkpoint may disagree with: how much and how fast, not what.
FREE = {"tokenizer_batch", "tokenizer_samples", "tokenizer_rate", "batch", "samples", "rate",
        "average", "reuse", "mix", "concepts", "sets"}


def check_same(path, saved, preset):
    now = json.loads(json.dumps(dataclasses.asdict(preset)))
    then = json.loads(json.dumps(saved))
    for k, v in now.items():
        if k not in FREE and then.get(k) != v:
            raise RunError(f"{path}: trained with {k} {then.get(k)}, the preset says {v}; "
                           "train in another directory")


def check_made_with(path, saved, made_with):
    """A checkpoint means something only with the vocabulary and the bits that it was trained
    with: {what: hash}."""
    for what, now in made_with.items():
        if saved["made_with"].get(what) != now:
            raise RunError(f"{path}: was trained with another {what}; give it that one, or train "
                           "in another directory")


def hash_of_file(path):
    with open(path, "rb") as f:
        return hashlib.sha256(f.read()).hexdigest()


def hash_of_weights(state, prefix):
    """Of the tensors whose names begin so."""
    h = hashlib.sha256()
    for k in sorted(k for k in state if k.startswith(prefix)):
        h.update(k.encode() + state[k].detach().cpu().contiguous().numpy().tobytes())
    return h.hexdigest()


def draw_curves(log_path, picture_path):
    """The log of a run as a picture: one panel for each figure, over samples."""
    import matplotlib
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    with open(log_path, encoding="utf-8") as f:
        rows = [json.loads(line) for line in f]
    names = [k for k in rows[-1] if k not in ("seen", "seconds")]
    figure, panels = plt.subplots(len(names), 1, figsize=(7, 1.8 * len(names)), sharex=True,
                                  squeeze=False)
    for name, panel in zip(names, panels[:, 0]):
        points = [(r["seen"], r[name]) for r in rows if name in r]
        panel.plot(*zip(*points), linewidth=1)
        panel.set_ylabel(name)
        panel.grid(alpha=0.3)
    panels[-1, 0].set_xlabel("samples")
    figure.tight_layout()
    figure.savefig(picture_path, dpi=90)
    plt.close(figure)


def curves_if_possible(run):
    """After a run; a machine without matplotlib has no curves and is told so."""
    try:
        draw_curves(run.log_path, run.log_path.replace(".jsonl", ".png"))
    except ImportError:
        print("no curves: python3-matplotlib is not installed", file=sys.stderr)
    except FileNotFoundError:
        pass  # too short a run to have told anything
