#!/bin/sh
# Every golden fixture once per instruction set, each in a process of its own: oneDNN keeps
# the first limit it was given. A level that this processor lacks is skipped, and said to be.
cd "${CFGEN_BUILDDIR:-.}" || exit 99
have=$(tests/checkkern --levels)
n=0
for level in c avx2 avx512; do
    n=$((n + 1))
    if ! echo "$have" | grep -qx $level; then
        echo "ok $n - $level: golden fixtures # SKIP this processor lacks $level"
        continue
    fi
    out=$(CFGEN_CPU=$level tests/check-golden "${CFGEN_SRCDIR:-..}/tests/golden" 2>&1)
    if [ $? -eq 0 ]; then
        echo "ok $n - $level: golden fixtures: $(echo "$out" | tail -n 1)"
    else
        echo "not ok $n - $level: golden fixtures"
        echo "$out" | grep -v '^ok' | sed 's/^/# /'
    fi
done
if tests/check-golden /nonexistent >/dev/null; then echo "not ok 4 - a directory without fixtures fails"
else echo "ok 4 - a directory without fixtures fails"; fi
echo "1..4"
