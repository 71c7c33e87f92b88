#!/bin/sh
# medium.sh - a model of the size of the 125M one of the paper (depth 12, width 768, VAE with
# 128 base channels, 256x256 pixels) with random weights: seconds per image at one and two
# threads. Options go to cfgen-synth.
set -eu
# shellcheck source=bench/lib.sh
. "$(dirname "$0")/lib.sh"
synth=$bin/bench/cfgen-synth
[ -x "$synth" ] || { echo "$synth is not built: make bench/cfgen-synth" >&2; exit 1; }

"$synth" --from="$src/models/pilot32" "$@" "$tmp/model"
load
head_row
for threads in 1 2; do
    batch "$tmp/model" 2 "$threads" 1 256
    batch "$tmp/model" 4 "$threads" 4 256
done
load
