#!/bin/sh
# against_pytorch.sh - the bars about whole images: ours and PyTorch's in turns, on the same
# random weights, with as many threads. Options go to cfgen-bench (--rounds=3 for a look).
#
# Debian's PyTorch takes whatever libblas there is. It gets the one of OpenBLAS that shares
# its OpenMP threads (package libopenblas0-openmp; the one with threads of its own makes both
# wait), the fastest kernels for AVX-512 that OpenBLAS 0.3.21 has where it would choose
# slower ones, and layouts that were fastest. CFGEN_ORIGINAL=1: as the original code does it.
set -eu
src=${CFGEN_SRCDIR:-$(cd "$(dirname "$0")/.." && pwd)}
bin=${CFGEN_BUILDDIR:-$src/build}
python=${PYTHON:-/usr/bin/python3}
"$python" -c 'import torch' || { echo "against_pytorch.sh needs PyTorch (package python3-torch)" >&2; exit 77; }
blas=${CFGEN_BLAS:-$(ls -d /usr/lib/*/openblas-openmp 2>/dev/null | head -n 1)}
[ -n "$blas" ] || echo "against_pytorch.sh: no package libopenblas0-openmp; PyTorch will be slow" >&2
if grep -qw avx512f /proc/cpuinfo; then
    tuned='OPENBLAS_CORETYPE=SKYLAKEX ATEN_CPU_CAPABILITY=avx512'
else
    tuned=
fi
CFGEN_MODEL_PATH=${CFGEN_MODEL_PATH:-$src/models}
export CFGEN_MODEL_PATH
exec "$bin/cfgen-bench" --report --only=image "$@" \
    --peer="${blas:+LD_LIBRARY_PATH='$blas'} OMP_NUM_THREADS=\$THREADS $tuned exec '$python' \
'$src/bench/pytorch_skeleton.py' \"\$MODEL\" --threads=\$THREADS --turns --rounds=1000 \
${CFGEN_ORIGINAL:+--original}"
