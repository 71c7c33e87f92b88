#!/usr/bin/env python3
"""Writes the hand-made part of the corpora of textenc/. Run it in tests/fuzz."""
import copy
import json
from pathlib import Path


def put(kind, name, data):
    path = Path("corpus") / kind
    path.mkdir(parents=True, exist_ok=True)
    if isinstance(data, dict):
        data = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    (path / name).write_bytes(data if isinstance(data, bytes) else data.encode())


PATTERN = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|"
           r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")


def alphabet():
    own = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [b for b in range(256) if b not in own]
    return [chr(b) for b in own] + [chr(256 + i) for i in range(len(rest))]


def added(i, content, special):
    return {"id": i, "content": content, "single_word": False, "lstrip": False,
            "rstrip": False, "normalized": False, "special": special}


vocab = {c: i for i, c in enumerate(alphabet())}
vocab.update({"ab": 256, "aba": 257, "abab": 258})
good = {
    "added_tokens": [added(259, "<|a|>", True), added(260, "<|a|>b", False)],
    "normalizer": {"type": "NFC"},
    "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
        {"type": "Split", "pattern": {"Regex": PATTERN}, "behavior": "Isolated",
         "invert": False},
        {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False}]},
    "decoder": {"type": "ByteLevel"},
    "model": {"type": "BPE", "merges": [["a", "b"], ["ab", "a"], ["ab", "ab"]],
              "vocab": vocab},
}
put("tokenizer", "good", good)
old = copy.deepcopy(good)
old["model"]["merges"] = ["a b", "ab a", "ab ab"]
put("tokenizer", "old-merges", old)
gap = copy.deepcopy(good)
gap["model"]["vocab"]["abab"] = 4000
put("tokenizer", "gap", gap)

put("text", "words", "It's 12 o'clock, she'LL say: \"caf\u00e9\"!\r\n\r\n  And\tmore \u017f'\u017f")
put("text", "marks", "a\u0323\u0301\u0301\u0323\u0345\u0338" * 9 + "\u1100\u1161\u11a8\uac00\u11a8")
put("text", "ill-formed", b"a\xff\xc3(\xe2\x82\xf0\x9f\x98\x80\xed\xa0\x80\x00\xc0\xaf")
put("text", "blanks", " \u00a0\u2003\n \r\n\u3000 x  \u0085\u2028 ")

flat = {"model_type": "qwen2", "vocab_size": 4096, "hidden_size": 64, "intermediate_size": 160,
        "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2,
        "hidden_act": "silu", "rms_norm_eps": 1e-06, "tie_word_embeddings": True,
        "use_sliding_window": False, "max_window_layers": 28, "rope_theta": 1e6,
        "pad_token_id": 4000}
put("qwen2_config", "flat", flat)
newer = {**flat, "model_type": "qwen3", "head_dim": 20, "attention_bias": False,
         "rope_parameters": {"rope_theta": 1e4, "rope_type": "default"},
         "layer_types": ["full_attention"] * 4}
put("qwen2_config", "newer", newer)
put("qwen2_config", "nested", {"model_type": "qwen2_vl", "text_config":
                               {**flat, "model_type": "qwen2_vl_text",
                                "rope_scaling": {"type": "mrope"}}})
