#!/bin/sh
# medium.sh - a model of the size of the 125M one of the paper (depth 12, width 768, VAE with
# 128 base channels, 256x256 pixels) with random weights: seconds per image at one and two
# threads. Options go to cfgen-model synth.
set -eu
# shellcheck source=bench/lib.sh
. "$(dirname "$0")/lib.sh"
CFGEN_MODEL_PATH=$src/models "$bin/cfgen-model" synth --geometry=infinity-125m --bits=32 --hold=pack \
    --text-width=128 --text-layers=2 --text-vocab=4224 "$@" "$tmp/model"
load
head_row
for threads in 1 2; do
    batch "$tmp/model" 2 "$threads" 1 256
    batch "$tmp/model" 4 "$threads" 4 256
done
load
