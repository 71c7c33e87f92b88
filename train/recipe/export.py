"""A run -> a model directory that cfgen loads (weights/model.h describes it).

What is exported are the weight averages, under the key names of the released checkpoints; the
vocabulary, the concepts and the NOTICE come from the pack. The directory is there whole or
not at all."""
import json
import os
import shutil

import torch

from . import infinity, pack, run, safetensors, textenc, trained

DTYPES = {"bf16": torch.bfloat16, "f32": torch.float32}


class ExportError(run.RunError):
    """A model that cannot be written: what, why, what to do."""


def add_arguments(parser):
    parser.add_argument("model", help="directory to be written")
    parser.add_argument("--name", help="of the model [the directory's]")
    parser.add_argument("--dtype", choices=DTYPES, default="bf16", help="[bf16]")
    parser.add_argument("--cfg", type=float, default=2.0, help="guidance by default [2.0]")
    parser.add_argument("--tau", type=float, default=0.3, help="temperature by default [0.3]")
    parser.add_argument("--no-self-correction", dest="self_correction", action="store_false",
                        help="takes transformer-uncorrected.pt")
    parser.add_argument("--force", action="store_true", help="replaces a model that is there")


def export(options, preset):
    target = options.model.rstrip("/")
    check_target(target, options.force)
    part = target + ".partial"
    shutil.rmtree(part, ignore_errors=True)
    os.makedirs(part)
    try:
        write_model(part, options, preset)
        put_in_place(part, target)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    print(f"{target}: {sum(size_of(target)) / 1e6:.1f} MB")


def check_target(target, force):
    if not os.path.lexists(target):
        return
    if not force:
        raise ExportError(f"{target}: is there already; --force replaces it")
    if not os.path.isfile(os.path.join(target, "model.json")):
        raise ExportError(f"{target}: is no model, so --force does not replace it")


def put_in_place(part, target):
    """The old model, if there is one, goes when the new one stands in its place."""
    old = target + ".old"
    if os.path.lexists(target):
        os.rename(target, old)
    os.rename(part, target)
    shutil.rmtree(old, ignore_errors=True)


def size_of(directory):
    for at, _, files in os.walk(directory):
        yield from (os.path.getsize(os.path.join(at, f)) for f in files)


def write_model(directory, options, preset):
    vae, progress = trained.tokenizer_of(options.directory, preset)
    name = "transformer" if options.self_correction else "transformer-uncorrected"
    state, progress[name] = trained.transformer_of(options.directory, name, preset,
                                                   options.pack, vae)
    dtype = DTYPES[options.dtype]
    parts = {
        "transformer": write_weights(directory, "infinity", transformer_keys(state), dtype),
        "vae": write_weights(directory, "vae", vae, dtype),
        "text_encoder": write_text_encoder(directory, state, preset, options.dtype),
        "tokenizer": ["spm.model"],
    }
    for file in ("spm.model", "NOTICE"):
        shutil.copyfile(os.path.join(options.pack, file), os.path.join(directory, file))
    write_lines(os.path.join(directory, "labels.txt"),
                pack.concepts_of(options.pack, options.sets or preset.sets, options.concepts))
    manifest = {
        "format": "cfgen-model", "version": 1,
        "name": options.name or os.path.basename(options.model.rstrip("/")),
        "generator": "infinity",
        "parts": {k: entry(directory, files) for k, files in parts.items()},
        "source": {"recipe": f"train/ of cfgen, preset {preset.name}",
                   "samples": {k: v["samples"] for k, v in progress.items()}},
        **sections(preset, options.cfg, options.tau),
    }
    write_lines(os.path.join(directory, "model.json"), [json.dumps(manifest, indent=1)])


# ---- weights


def transformer_keys(state):
    """Released names. A chunk holds one block: the published code samples from chunks alone.
    The bias of keys, always zero, is left out."""
    out = {}
    for k, t in state.items():
        if not k.startswith("infinity.") or k.endswith("zero_k_bias"):
            continue
        k = k[len("infinity."):]
        if k.startswith("blocks."):
            _, block, rest = k.split(".", 2)
            k = f"block_chunks.{block}.module.0.{rest}"
        out[k] = t
    return out


def write_weights(directory, stem, tensors, dtype):
    return safetensors.write_part(directory, stem, {k: t.to(dtype) for k, t in tensors.items()})


def write_text_encoder(directory, state, preset, dtype):
    at = os.path.join(directory, "text_encoder")
    os.mkdir(at)
    write_lines(os.path.join(at, "config.json"),
                [json.dumps(text_config(preset, dtype), indent=1)])
    tensors = {"model." + k[len("text."):]: t.to(DTYPES[dtype])
               for k, t in state.items() if k.startswith("text.")}
    files = ["config.json"] + safetensors.write_shards(at, tensors)
    return [f"text_encoder/{name}" for name in files]


def text_config(preset, dtype):
    return {
        "architectures": ["Qwen2Model"], "model_type": "qwen2",
        "vocab_size": preset.pieces, "hidden_size": preset.text_width,
        "intermediate_size": preset.text_hidden, "num_hidden_layers": preset.text_layers,
        "num_attention_heads": preset.text_heads,
        "num_key_value_heads": preset.text_kv_heads, "hidden_act": "silu",
        "rms_norm_eps": textenc.EPS, "rope_theta": textenc.THETA,
        "tie_word_embeddings": True,
        "torch_dtype": "bfloat16" if dtype == "bf16" else "float32",
    }


# ---- model.json


def sections(preset, cfg, tau):
    levels = len(preset.ch_mult)
    return {
        "infinity": {
            "embed_dim": preset.width, "depth": preset.depth, "num_heads": preset.heads,
            "mlp_hidden": infinity.hidden_of(preset.width), "bits": preset.bits,
            "text_width": preset.text_width, "text_maxlen": preset.text_tokens + 2,
            "pool_heads": infinity.pool_heads_of(preset.text_width),
            "block_chunks": preset.depth, "spatial_patchify": False,
            "level_embed_first_block_only": True, "norm_eps": infinity.EPS,
        },
        "vae": {
            "base_channels": preset.base, "ch_mult": list(preset.ch_mult),
            "num_res_blocks": preset.res_blocks, "bits": preset.bits,
            "patch": 2 ** (levels - 1),
        },
        "sizes": {"scales": [[h, h] for h in preset.scales],
                  "rope_grid": [infinity.ROPE_GRID] * 2},
        "text": {
            "tokenizer": {"type": "sentencepiece", "lowercase": True,
                          "max_tokens": preset.text_tokens, "append_eos": True},
            "encoder": {"features": "last", "rows": "valid"},
        },
        "sampling": {"cfg": cfg, "tau": tau, "top_k": 0, "top_p": 0.0,
                     "cfg_insertion_layer": [0]},
    }


def entry(directory, files):
    """A part in model.json: one file, or a directory with all that lies in it."""
    listed = [{"file": f, "sha256": run.hash_of_file(os.path.join(directory, f))} for f in files]
    if "/" not in files[0]:
        return listed[0]
    return {"dir": files[0].split("/")[0], "files": listed}


def write_lines(path, lines):
    with open(path, "w", encoding="utf-8") as f:
        f.writelines(line + "\n" for line in lines)
        f.flush()
        os.fsync(f.fileno())
