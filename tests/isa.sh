#!/bin/sh
# Only the kernels of an instruction set may use its registers: no object of ours but those
# touches ymm, zmm or mask registers, so that programs run on any x86-64.
cd "${CFGEN_BUILDDIR:-.}" || exit 99
echo 1..2
objects=$(find base weights dnn textenc models jobs store pipeline -name '*.o' 2>/dev/null |
          grep -v 'dnn/libkern_avx')
kernels=$(find dnn -name 'libkern_avx*.o' 2>/dev/null)
if ! command -v objdump >/dev/null || [ -z "$kernels" ]; then
    echo "ok 1 - no vector code outside the kernels # SKIP no objdump, or not x86-64"
    echo "ok 2 - the search finds what it looks for # SKIP"
    exit 0
fi
uses() { # objects that use wide registers or instructions with a VEX prefix
    for o in "$@"; do
        objdump -d --no-show-raw-insn "$o" |
            grep -qE '%[yz]mm|%k[0-7]|[[:space:]]v(mov|add|mul|sub|fm|fn|xor|cvt|broadcast)' &&
            echo "$o"
    done
}
# shellcheck disable=SC2086
bad=$(uses $objects)
if [ -z "$bad" ]; then echo "ok 1 - no vector code outside the kernels"
else echo "not ok 1 - no vector code outside the kernels"; echo "$bad" | sed 's/^/# /'; fi
# shellcheck disable=SC2086
if [ "$(uses $kernels | wc -l)" -eq "$(echo "$kernels" | wc -l)" ]; then
    echo "ok 2 - the search finds what it looks for"
else echo "not ok 2 - the search finds what it looks for"; fi
