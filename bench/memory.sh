#!/bin/sh
# memory.sh - peak memory of whole processes, on random weights of the released geometries:
# one image by cfgen, the text encoder gone before the generator comes.
#
#     memory.sh [CASE...]     a case is GEOMETRY:DTYPE:PIXELS[:kv-bf16]; without one, all
#
# A case of 1024 pixels takes a quarter of an hour and more on two cores; the largest model
# is 9 GB on disk, made in $TMPDIR and removed. CFGEN_ENCODER=qwen2-1.5b takes that one.
set -eu
# shellcheck source=bench/lib.sh
. "$(dirname "$0")/lib.sh"
[ -x /usr/bin/time ] || { echo "memory.sh needs GNU time (package time)" >&2; exit 1; }
CFGEN_MODEL_PATH=$src/models; export CFGEN_MODEL_PATH
[ $# -gt 0 ] || set -- infinity-2b:bf16:256 infinity-2b:bf16:512 \
    infinity-2b:bf16:1024:kv-bf16 infinity-2b:int8:256 infinity-2b:int8:512 \
    infinity-2b:int8:1024:kv-bf16 infinity-8b:int8:256 infinity-8b:4bit:256

have=
for case in "$@"; do
    geometry=${case%%:*} rest=${case#*:}
    type=${rest%%:*} rest=${rest#*:}
    pixels=${rest%%:*} kv=f32
    case $rest in *:kv-bf16) kv=bf16 ;; esac
    if [ "$have" != "$geometry:$type" ]; then
        rm -rf "$tmp/model"
        "$bin/cfgen-model" synth --geometry="$geometry" --dtype="$type" \
            ${CFGEN_ENCODER:+--text-encoder="$CFGEN_ENCODER"} "$tmp/model" >/dev/null
        have=$geometry:$type
    fi
    /usr/bin/time -f '%M %e %U' -o "$tmp/time" "$bin/cfgen" --model="$tmp/model" \
        --size="${pixels}x$pixels" --kv-type=$kv -o "$tmp/image.webp" \
        "a green frog on a yellow background" 2>"$tmp/err" || { cat "$tmp/err" >&2; exit 1; }
    awk -v what="$geometry $type ${pixels}px kv $kv" \
        '{ printf "%-36s peak %6.2f GB  %7.1f s wall %8.1f s cpu\n", what, $1 * 1024 / 1e9, $2, $3 }' \
        "$tmp/time"
done
load
