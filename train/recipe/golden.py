"""A model directory -> a golden fixture: what PyTorch computes from exactly the weights that
were exported, for check-golden to compare cfgen with (tests/golden_model.c).

The networks are those of the training, in f32 on processors, with greedy bits. One flipped
bit changes all that comes after it, so a prompt that has a bit which rounding decides proves
nothing and is left out."""
import json
import os

import torch

from . import infinity, run, safetensors, textenc, transformer, vae, vocabulary
from .export import write_lines

MARGIN = 1e-5            # between the logits of a bit, of the largest: f32 has a noise of 1e-6


class GoldenError(run.RunError):
    """A fixture that cannot be made: what, why, what to do."""


def add_arguments(parser):
    parser.add_argument("model", help="directory of a model that was exported")
    parser.add_argument("out", help="directory of the fixture")
    parser.add_argument("--prompts", required=True, help="file, one a line")
    parser.add_argument("--cfg", type=float, default=2.0, help="guidance [2.0]")


class ModelDirectory:
    """The networks of a model directory, as far as this recipe could have made it."""

    def __init__(self, path):
        self.path = path
        try:
            with open(os.path.join(path, "model.json"), encoding="utf-8") as f:
                self.json = json.load(f)
        except FileNotFoundError:
            raise GoldenError(f"{path}: no model.json there; cfgen-train export writes "
                              "one") from None
        self.scales = [h for h, _ in self.json["sizes"]["scales"]]
        if self.json["sizes"]["rope_grid"] != [infinity.ROPE_GRID] * 2:
            raise GoldenError(f"{path}: its rope_grid is not {infinity.ROPE_GRID}")
        self.text, self.infinity = self.text_encoder(), self.transformer()
        self.decoder = self.tokenizer().decoder

    def tensors(self, part):
        about = self.json["parts"][part]
        path = os.path.join(self.path, about.get("file") or about["dir"])
        return {k: t.float() for k, t in safetensors.read_part(path).items()}

    def text_encoder(self):
        path = os.path.join(self.path, "text_encoder", "config.json")
        with open(path, encoding="utf-8") as f:
            c = json.load(f)
        net = textenc.TextEncoder(c["vocab_size"], c["hidden_size"], c["intermediate_size"],
                                  c["num_hidden_layers"], c["num_attention_heads"],
                                  c["num_key_value_heads"])
        return self.filled(net, "text_encoder", lambda k: k[len("model."):])

    def transformer(self):
        c = self.json["infinity"]
        net = infinity.Infinity(c["embed_dim"], c["depth"], c["num_heads"], c["bits"],
                                c["text_width"], c["text_maxlen"], self.scales)
        return self.filled(net, "transformer", block_name)

    def tokenizer(self):
        c = self.json["vae"]
        net = vae.VAE(c["base_channels"], c["ch_mult"], c["num_res_blocks"], c["bits"])
        return self.filled(net, "vae", lambda k: k)

    def filled(self, net, part, name_of):
        state = {name_of(k): t for k, t in self.tensors(part).items()}
        missing, unknown = net.load_state_dict(state, strict=False)
        missing = [k for k in missing if not k.endswith("zero_k_bias")]
        if missing or unknown:
            raise GoldenError(f"{self.path}: {part}: {(missing + unknown)[0]} is "
                              f"{'missing' if missing else 'unknown'}")
        return net.eval().requires_grad_(False)

    def ids(self, prompts):
        """As cfgen makes them: lower case, cut, the end mark."""
        rows = vocabulary.encode_lines(os.path.join(self.path, "spm.model"),
                                       [p.lower() for p in prompts])
        if rows is None:
            raise GoldenError("SentencePiece is not installed; Debian: apt-get install "
                              "sentencepiece")
        most = self.json["text"]["tokenizer"]["max_tokens"]
        return [row[:most] + [transformer.END] for row in rows]


def block_name(key):
    """block_chunks.CHUNK.module.0.REST, one block a chunk -> blocks.BLOCK.REST"""
    if not key.startswith("block_chunks."):
        return key
    _, chunk, _, _, rest = key.split(".", 4)
    return f"blocks.{chunk}.{rest}"


@torch.no_grad()
def recorded(model, prompts, guidance):
    """The tensors of the fixture for these prompts; and of each prompt how far apart the two
    logits of its closest bit are, as a share of its largest logit."""
    rows = model.ids(prompts)
    ids, valid = transformer.padded(rows)
    features = model.text(ids)
    out = {"ids": torch.tensor(sum(rows, []), dtype=torch.int32),
           "lens": torch.tensor([len(r) for r in rows], dtype=torch.int32),
           "text": features[valid]}
    margins, largest = [], []

    def watch(k, logits, bits):
        h = model.scales[k]
        out[f"sc{k}.logits"] = logits
        out[f"sc{k}.bits"] = bits.view(len(rows), h, h, -1).to(torch.uint8)
        apart = logits.unflatten(-1, (-1, 2)).diff(dim=-1).abs()
        margins.append(apart.flatten(1).amin(1))
        largest.append(logits.abs().flatten(1).amax(1))

    out["summed_codes"] = model.infinity.sample(features, valid, guidance, 0.0, watch=watch)
    pixels = model.decoder(out["summed_codes"]).clamp(-1, 1)
    out["img_f32"] = pixels
    out["img_rgb_u8"] = ((pixels + 1) / 2).permute(0, 2, 3, 1).mul(255).to(torch.uint8)
    return out, torch.stack(margins).amin(0) / torch.stack(largest).amax(0)


def golden(options):
    with open(options.prompts, encoding="utf-8") as f:
        prompts = [line.strip() for line in f if line.strip()]
    torch.manual_seed(0)
    model = ModelDirectory(options.model)
    _, margins = recorded(model, prompts, options.cfg)
    kept = [p for p, m in zip(prompts, margins) if m >= MARGIN]
    for p in prompts:
        if p not in kept:
            print(f"left out, a bit of it is decided by rounding: {p}")
    if not kept:
        raise GoldenError(f"{options.prompts}: no prompt is left")
    tensors, margins = recorded(model, kept, options.cfg)
    os.makedirs(options.out, exist_ok=True)
    safetensors.write(os.path.join(options.out, "golden.safetensors"), tensors)
    about = {"name": model.json["name"], "kind": "model",
             "model": os.path.basename(os.path.abspath(options.model)), "prompts": kept,
             "cfg": options.cfg, "tau": 1.0, "top_k": 1, "seed": 0}
    write_lines(os.path.join(options.out, "golden.json"),
                [json.dumps(about, indent=1, ensure_ascii=False)])
    print(f"{options.out}: {len(kept)} prompts, the closest two logits of a bit are "
          f"{margins.min():.1e} of the largest apart")
