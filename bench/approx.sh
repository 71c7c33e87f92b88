#!/bin/sh
# approx.sh - what each approximation costs in quality and saves in time, each compared with the
# exact image. Quality on the model in the repository, whose prompts it knows: the things of
# labels.txt, and the sample prompts, with two seeds each. Time on a model of the size of the 125M
# one of the paper with random weights, 256 x 256 pixels, two threads; rounds as a number, default 9.
# Needs nothing beside the built programs: the distances are worked out by bench/approx.
set -eu
# shellcheck source=bench/lib.sh
. "$(dirname "$0")/lib.sh"
rounds=${1:-9}
CFGEN_MODEL_PATH=$src/models
export CFGEN_MODEL_PATH

[ -x "$bin/bench/approx" ] || { echo "$bin/bench/approx is not built: make bench/approx" >&2; exit 1; }
sed 's/$/ noto style/' "$shipped/labels.txt" >"$tmp/labels.txt"
echo 'a photograph of a small red house beside a lake in the mountains at dawn, with fog over the water' >"$tmp/one.txt"

# model ARGUMENT...: cfgen-model, which only speaks where it fails.
model()
{
    "$bin/cfgen-model" "$@" >"$tmp/out" 2>&1 || { cat "$tmp/out" >&2; exit 1; }
}


# recipes MODEL8 SIZE: one a line; SIZE is what each begins with, or nothing.
recipes()
{
    cat <<END
{$2}
{${2:+$2,}"kv_type":"bf16"}
{${2:+$2,}"model":"$1"}
{${2:+$2,}"cfg_skip":1}
{${2:+$2,}"cfg_skip":2}
{${2:+$2,}"cfg_skip":3}
{${2:+$2,}"prune_tokens":0.1}
{${2:+$2,}"prune_tokens":0.25}
{${2:+$2,}"prune_tokens":0.5}
{${2:+$2,}"prune_tokens":[0.4,0.5]}
{${2:+$2,}"cfg_skip":1,"kv_type":"bf16"}
{${2:+$2,}"cfg_skip":1,"kv_type":"bf16","model":"$1"}
{${2:+$2,}"cfg_skip":2,"kv_type":"bf16","model":"$1"}
END
}

# with_recipes FILE COMMAND...: the command with the lines of FILE as its last operands.
with_recipes()
{
    file=$1
    shift
    while IFS= read -r line; do set -- "$@" "$line"; done <"$file"
    "$@"
}

load
model quantize --dtype=int8 "$shipped" "$tmp/int8"
recipes "$tmp/int8" '' >"$tmp/recipes"
for prompts in "$tmp/labels.txt" "$src/examples/prompts.txt"; do
    with_recipes "$tmp/recipes" "$bin/bench/approx" quality "$shipped" "$prompts" 2
done

model synth --geometry=infinity-125m --bits=32 --hold=pack --text-width=128 --text-layers=2 \
    --text-vocab=4224 "$tmp/medium"
model quantize --dtype=int8 "$tmp/medium" "$tmp/medium8"
recipes "$tmp/medium8" '"size":"0.06M"' >"$tmp/recipes"
with_recipes "$tmp/recipes" "$bin/bench/approx" time "$tmp/medium" "$tmp/one.txt" "$rounds" 2
load
