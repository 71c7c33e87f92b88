#!/bin/sh
# The tests of dnn/ once per instruction set, each in a process of its own: oneDNN keeps the
# first limit it was given. A level that this processor lacks is skipped, and said to be.
cd "${CFGEN_BUILDDIR:-.}" || exit 99
CMOCKA_MESSAGE_OUTPUT=TAP
export CMOCKA_MESSAGE_OUTPUT
have=$(tests/checkkern --levels)
n=0
for level in c avx2 avx512; do
    for program in dnn_test layer_test mapped_test ops_test attn_test kv_test resample_test quant_test \
        packs_test
    do
        if ! echo "$have" | grep -qx $level; then
            n=$((n + 1))
            echo "ok $n - $level: $program # SKIP this processor lacks $level"
            continue
        fi
        out=$(CFGEN_CPU=$level tests/$program 2>&1)
        status=$?
        # Cases get running numbers and the level in front of their claim.
        echo "$out" | awk -v n=$n -v level=$level '
            /^(not )?ok [0-9]+.*# SKIP/ { # cmocka says "not ok" to these
                sub(/.*# SKIP */, "")
                print "ok", ++n, "-", level ": " $0 " # SKIP"
                next
            }
            /^# (not )?ok - / { next }
            /^(not )?ok [0-9]+/ {
                word = /^not/ ? "not ok" : "ok"
                sub(/^(not )?ok [0-9]+ *(- *)?/, "")
                print word, ++n, "-", level ": " $0
                next
            }
            /^1\.\.[0-9]+/ { next }
            { sub(/^#? ?/, ""); print "# " $0 }'
        n=$((n + $(echo "$out" | grep -cE '^(not )?ok [0-9]+')))
        if [ $status -ne 0 ]; then
            n=$((n + 1))
            echo "not ok $n - $level: $program left with status $status"
        fi
    done
done
echo "1..$n"
