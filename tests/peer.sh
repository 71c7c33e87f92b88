#!/bin/sh
# The peer that images are timed against computes what the recorded tensors say.
src=${CFGEN_SRCDIR:-$(cd "$(dirname "$0")/.." && pwd)}
python=${PYTHON:-/usr/bin/python3}
"$python" -c 'import torch, numpy' 2>/dev/null || { echo "1..0 # SKIP no PyTorch"; exit 0; }
n=0
for how in '' --original; do
    n=$((n + 1))
    # shellcheck disable=SC2086
    if said=$("$python" "$src/bench/pytorch_skeleton.py" $how --threads=1 --check "$src/tests/golden/infinity" 2>&1); then
        echo "ok $n - the peer${how:+, as the original does it,} agrees with the recorded tensors"
    else
        echo "not ok $n - the peer${how:+, as the original does it,} agrees with the recorded tensors"
    fi
    echo "$said" | sed 's/^/# /'
done
echo "1..$n"
