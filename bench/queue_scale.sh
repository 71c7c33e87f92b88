#!/bin/sh
# queue_scale.sh - the queue at ten million jobs, none of it part of "make check":
#   import  prompts into jobs by cfgen-jobs add: rows a second, bytes, peak memory
#   status  cfgen-jobs status on a queue in the middle of its life: milliseconds
#
# queue_scale.sh [PART...]: by default all parts. CFGEN_ROWS is the number of jobs (default
# 10000000). Needs about 8 GB under TMPDIR; the machine should be quiet.
set -eu
# shellcheck source=bench/lib.sh
. "$(dirname "$0")/lib.sh"
rows=${CFGEN_ROWS:-10000000}
jobs=$bin/cfgen-jobs

# Lines like captions, about 125 bytes each, all different.
captions() # number
{
    awk -v n="$1" 'BEGIN {
        for (i = 0; i < n; i++)
            printf "a photograph of animal number %d standing in a landscape with %d trees under a sky of colour %d, soft light, 35 mm, detailed\n", i, i % 97, i * 7919 % 1000 }'
}

now()
{
    date +%s.%N
}

# import_case NAME LINES OPTION...
import_case()
{
    name=$1 lines=$2
    shift 2
    captions "$lines" >"$tmp/captions.txt"
    "$jobs" init --db="$tmp/$name.db"
    from=$(now)
    timed "$jobs" add --db="$tmp/$name.db" "$@" "$tmp/captions.txt" || { cat "$tmp/out" >&2; exit 1; }
    awk -v name="$name" -v a="$from" -v b="$(now)" -v rows="$rows" -v peak="$(cat "$tmp/peak")" \
        -v bytes="$(stat -c %s "$tmp/$name.db")" 'BEGIN {
        printf "%-28s %9d rows %8.1f s %8.0f rows/s %8.1f MB %6.1f bytes/row %7.1f MiB peak\n",
            name, rows, b - a, rows / (b - a), bytes / 1e6, bytes / rows, peak / 1024 }'
    rm -f "$tmp/$name.db"* "$tmp/captions.txt"
}

part_import()
{
    import_case import_four_seeds_a_prompt $((rows / 4)) --seeds=0..3
    import_case import_one_seed_a_prompt "$rows"
}

# By SQL in one transaction: an import and its images would take days.
part_status()
{
    "$jobs" init --db="$tmp/life.db"
    sqlite3 -cmd "CREATE TEMP TABLE size AS SELECT $rows / 4 AS prompts;" "$tmp/life.db" \
        <"$src/bench/queue_rows.sql" >/dev/null
    echo "queue of $rows jobs: $(stat -c %s "$tmp/life.db") bytes"
    for run in 1 2 3 4 5 6 7 8 9 10; do
        from=$(now)
        "$jobs" status --db="$tmp/life.db" --json >"$tmp/status.json"
        awk -v a="$from" -v b="$(now)" 'BEGIN { printf "%.1f ", (b - a) * 1000 }'
    done
    echo "ms for status, ten runs"
    timed "$jobs" status --db="$tmp/life.db"
    echo "$(cat "$tmp/peak") KiB peak for status"
    rm -f "$tmp/life.db"*
}

load
for part in "${@:-import status}"; do
    for one in $part; do
        "part_$one"
    done
done
load
