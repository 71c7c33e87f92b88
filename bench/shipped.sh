#!/bin/sh
# shipped.sh - the model in the repository: images per minute at one and two threads, where
# the time goes, and how much memory is held beside the weights.
set -eu
# shellcheck source=bench/lib.sh
. "$(dirname "$0")/lib.sh"
images=${1:-96}

load
head_row
for threads in 1 2; do
    batch "$shipped" "$images" "$threads" 1 0
    batch "$shipped" "$images" "$threads" auto 0
done
load
