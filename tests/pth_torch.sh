#!/bin/sh
# pth_torch.sh - fresh .pth files of the torch that is installed here, read by us: its
# numbers are the golden ones. And a file that we write, read by the reference's reader.
# What is not installed is skipped, and said so.
src=${CFGEN_SRCDIR:-$(cd "$(dirname "$0")/.." && pwd)}
bld=${CFGEN_BUILDDIR:-$src/build}
tmp=$(mktemp -d "${TMPDIR:-/tmp}/cfgen-test-XXXXXX") || exit 99
trap 'rm -rf "$tmp"' EXIT
trap 'exit 99' HUP INT TERM

# with MODULE: a python3 that has it.
with()
{
    for python in python3 /usr/bin/python3; do
        "$python" -c "import $1" 2>/dev/null && return
    done
    return 1
}

result()
{
    if [ "$1" = 0 ]; then echo "ok $2"; else echo "not ok $2"; sed 's/^/# /' "$tmp/log"; fi
}

echo 1..2
one="1 - every tensor of fresh files of torch is what torch says"
if with torch; then
    "$python" -W ignore "$src/tests/golden/pth/make.py" "$tmp" >"$tmp/log" 2>&1 &&
        CF_PTH_FIXTURES=$tmp "$bld/tests/pth_test" >"$tmp/log" 2>&1
    result $? "$one"
else
    echo "ok $one # SKIP no python3 with torch"
fi
two="2 - the reference's reader reads what we write"
if with safetensors; then
    CF_ST_KEEP=$tmp/ours.safetensors "$bld/tests/st_write_test" >"$tmp/log" 2>&1 &&
        "$python" "$src/tests/st_read.py" "$tmp/ours.safetensors" >"$tmp/log" 2>&1
    result $? "$two"
else
    echo "ok $two # SKIP no python3 with safetensors"
fi
