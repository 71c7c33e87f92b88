# shellcheck shell=sh
# lib.sh - what the timing scripts share: a queue, cfgen-batch over it, its summary as a row.
# Sourced by POSIX shells; prints one row per run.
src=${CFGEN_SRCDIR:-$(cd "$(dirname "$0")/.." && pwd)}
bin=${CFGEN_BUILDDIR:-$src/build}
shipped=$(dirname "$src"/models/*/model.json) # the one model that comes with the program
tmp=$(mktemp -d "${TMPDIR:-/tmp}/cfgen-bench.XXXXXX")
trap 'rm -rf "$tmp"' EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

for program in cfgen-batch cfgen-jobs; do
    [ -x "$bin/$program" ] || { echo "$bin/$program is not built: run ./quickstart" >&2; exit 1; }
done

# What else the machine does belongs beside every figure.
load()
{
    echo "load average $(cut -d ' ' -f 1-3 /proc/loadavg), $(nproc) processors, $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)"
}

# Bytes of the weights of a model directory.
weights()
{
    find "$1" -name '*.safetensors' -exec cat {} + | wc -c
}

head_row()
{
    printf '%7s %4s %6s %9s %10s %7s %7s %7s %7s %9s %11s\n' threads side images s/image \
        images/min linear attn conv other peak_MiB weights_MiB
}

# batch MODEL IMAGES THREADS SIDE WIDTH: a fresh queue of the sample prompts, each image with
# a seed of its own; WIDTH 0 is the model's own size.
batch()
{
    model=$1 images=$2 threads=$3 side=$4 width=$5
    rm -rf "$tmp/q"
    mkdir "$tmp/q"
    awk -v n="$images" -v w="$width" '
        { prompt[NR] = $0 }
        END { for (i = 0; i < n; i++) {
                  size = w ? sprintf(", \"width\": %d, \"height\": %d", w, w) : ""
                  printf "{\"prompt\": \"%s\", \"seed\": %d%s}\n", prompt[i % NR + 1], i, size } }' \
        "$src/examples/prompts.txt" >"$tmp/q/jobs.jsonl"
    {
        "$bin/cfgen-jobs" init --db "$tmp/q/jobs.sqlite" >"$tmp/out" 2>&1 &&
            "$bin/cfgen-jobs" add --db "$tmp/q/jobs.sqlite" "$tmp/q/jobs.jsonl" >>"$tmp/out" 2>&1 &&
            timed "$bin/cfgen-batch" --db "$tmp/q/jobs.sqlite" --model "$model" \
                --output "$tmp/q/images" --threads "$threads" --side-by-side "$side"
    } || { cat "$tmp/out" >&2; exit 1; }
    tr ' ' '\n' <"$tmp/out" | awk -F = -v threads="$threads" -v side="$side" \
        -v peak="$(cat "$tmp/peak")" -v weights="$(weights "$model")" '
        NF == 2 { fact[$1] = $2 }
        function share(key) { return sprintf("%.1f%%", 100 * fact[key] / fact["seconds"]) }
        END { printf "%7s %4s %6d %9.3f %10.1f %7s %7s %7s %7s %9.1f %11.1f\n", threads, side,
                  fact["images"], fact["seconds"] / fact["images"], fact["images_per_minute"],
                  share("linear_s"), share("attn_s"), share("conv_s"), share("other_s"),
                  peak / 1024, weights / 1048576 }'
}

# Peak resident size in KiB to $tmp/peak, everything said to $tmp/out.
timed()
{
    if [ -x /usr/bin/time ]; then
        /usr/bin/time -q -f %M -o "$tmp/peak" "$@" >>"$tmp/out" 2>&1
    else
        echo 0 >"$tmp/peak"
        "$@" >>"$tmp/out" 2>&1
    fi
}
