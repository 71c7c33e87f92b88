#!/bin/sh
# queue_scale.sh - the queue at ten million jobs, none of it part of "make check": one row
# per command with its wall and CPU time, rows a second, the size of the file it made and its peak memory.
#
# queue_scale.sh [PART...]: by default all parts, in this order and on one queue:
#   import claims plan results merge check status list export verify backup prune
# and life, a queue in the middle of its life, made by SQL, for status. Parts that another
# one builds upon are run for it. CFGEN_ROWS is the number of jobs (default 10000000),
# CFGEN_SHARDS of shards (64), CFGEN_SECONDS how long each case of claims takes (10).
# Ten million jobs need about 30 GB under TMPDIR; the machine should be quiet.
set -eu
# shellcheck source=bench/lib.sh
. "$(dirname "$0")/lib.sh"
rows=${CFGEN_ROWS:-10000000}
shards=${CFGEN_SHARDS:-64}
seconds=${CFGEN_SECONDS:-10}
jobs=$bin/cfgen-jobs
q=$tmp/q.db
had=

# Lines like captions, about 125 bytes each, all different.
captions() # number
{
    awk -v n="$1" 'BEGIN {
        for (i = 0; i < n; i++)
            printf "a photograph of animal number %d standing in a landscape with %d trees under a sky of colour %d, soft light, 35 mm, detailed\n", i, i % 97, i * 7919 % 1000 }'
}

# row NAME ROWS FILE COMMAND...: FILE - for none; what the command says goes to $tmp/out.
row()
{
    name=$1 n=$2 file=$3
    shift 3
    : >"$tmp/out"
    /usr/bin/time -q -f '%e %M %U %S' -o "$tmp/time" "$@" >>"$tmp/out" 2>&1 ||
        { echo "$name: it failed" && tail -n 3 "$tmp/out"; } >&2
    bytes=0
    [ "$file" = - ] || bytes=$(wc -c <"$file")
    tail -n 1 "$tmp/time" | awk -v name="$name" -v n="$n" -v bytes="$bytes" \
        -v load="$(cut -d ' ' -f 1 /proc/loadavg)" '{
        rate = n && $1 > 0 ? sprintf("%.0f", n / $1) : "-"
        size = bytes ? sprintf("%.1f", bytes / 1e6) : "-"
        printf "%-24s %9s %9.2f %9.2f %10s %9s %8.1f %6s\n", name, n ? n : "-", $1, $3 + $4, rate, size, $2 / 1024, load }'
}

head_line()
{
    printf '%-24s %9s %9s %9s %10s %9s %8s %6s\n' part rows seconds 'CPU s' rows/s MB peakMiB load
}

need()
{
    case " $had " in *" $1 "*) ;; *) had="$had $1" && "part_$1" ;; esac
}

part_import()
{
    captions $((rows / 4)) >"$tmp/captions.txt"
    "$jobs" init --db="$q"
    row import "$rows" "$q" "$jobs" add --db="$q" --seeds=0..3 "$tmp/captions.txt"
    rm "$tmp/captions.txt"
}

part_claims()
{
    need import
    for k in 1 16; do
        for p in 1 4 16; do
            echo "claims: $k jobs a claim: $("$bin/bench/claims" "$q" $p $k "$seconds")"
        done
    done
}

part_plan()
{
    need import
    row "plan --shards=$shards" "$rows" "$tmp/plan.sqlite" "$jobs" plan --db="$q" --shards="$shards" --out="$tmp/plan.sqlite"
}

part_results()
{
    need plan
    row "$shards shards opened" "$rows" - "$bin/bench/results" "$tmp/plan.sqlite"
    rm "$tmp/plan.sqlite"
}

part_merge()
{
    need results
    row "merge $shards shards" "$rows" "$q" "$jobs" merge --db="$q" "$tmp"/plan-*.results.sqlite
    row 'merge again' "$rows" - "$jobs" merge --db="$q" "$tmp"/plan-*.results.sqlite
    rm "$tmp"/plan-*
}

part_check()
{
    need merge
    row check "$rows" - "$jobs" check --db="$q"
}

part_status()
{
    need merge
    for run in 1 2 3; do
        row "status $run" 0 - "$jobs" status --db="$q"
    done
}

part_list()
{
    need merge
    row 'list --limit=20' 0 - "$jobs" list --db="$q" --limit=20
    row 'list failed' 0 - "$jobs" list --db="$q" --state=failed --limit=20
    row 'gallery --sample=200' 0 - "$jobs" gallery --db="$q" --sample=200 --out="$tmp/pages"
}

part_export()
{
    need merge
    for form in jsonl csv sqlite; do
        row "export $form" "$rows" "$tmp/export" "$jobs" export --db="$q" --format=$form --output="$tmp/export"
        rm -f "$tmp/export"
    done
}

# The tars are not there: every row is asked for and found missing.
part_verify()
{
    need merge
    mkdir -p "$tmp/images"
    row 'verify, no tar there' "$rows" - sh -c '"$@" || [ $? = 1 ]' sh "$jobs" verify --db="$q" --output="$tmp/images" --json
}

part_backup()
{
    need merge
    row backup "$rows" "$tmp/copy" "$jobs" backup --db="$q" "$tmp/copy"
    rm -f "$tmp/copy"
}

part_prune()
{
    need merge
    row 'prune attempts' "$rows" - "$jobs" prune --db="$q" --attempts-older-than=0
    row 'prune --done' "$rows" "$q" "$jobs" prune --db="$q" --done
}

# By SQL in one transaction: an import and its images would take days.
part_life()
{
    "$jobs" init --db="$tmp/life.db"
    sqlite3 -cmd "CREATE TEMP TABLE size AS SELECT $rows / 4 AS prompts;" "$tmp/life.db" \
        <"$src/bench/queue_rows.sql" >/dev/null
    for run in 1 2 3 4 5; do
        row "life: status $run" 0 "$tmp/life.db" "$jobs" status --db="$tmp/life.db" --json
    done
    rm -f "$tmp/life.db"*
}

load
head_line
for part in "${@:-import claims plan results merge check status list export verify backup prune life}"; do
    for one in $part; do
        need "$one"
    done
done
load
