#!/bin/bash
# Fault 18: threads 1, 2, 3; shards 1, 4, 9; claim 1, 16; workers 1, 2; embedding cache off, cold
# and warm; layout files and tar: the same pixel hashes for every job.
# CFGEN_FAULT_EVERY=1 runs every combination, a number N every Nth; a sanitized build is slow.
. "${CFGEN_SRCDIR:-.}/tests/cli/init.sh"
every=13
if nm -C "$bld/cfgen-batch" 2>/dev/null | grep -qE '__(a|ub)san_'; then every=31; fi
every=${CFGEN_FAULT_EVERY:-$every}
[ "$every" -gt 1 ] || every=1

fill() {
    cfgen-jobs init --db=q.sqlite >/dev/null &&
        printf '%s\n' 'red apple' 'penguin on a blue background' 'octopus' 'banana' 'x' 'tiger face , noto style' \
            'a very long prompt with many words that the small model has never seen in its life' |
        cfgen-jobs add --db=q.sqlite --format=text --seeds=3,4 - >/dev/null &&
        printf '%s\n' 'green leaf' 'fire' | cfgen-jobs add --db=q.sqlite --format=text --negative=water - >/dev/null
}
hashes() { sqlite3 "$1" 'SELECT job_id, pixel_sha256 FROM output ORDER BY job_id'; }
plain() {
    fill && cp q.sqlite plain.sqlite && cfgen-batch --db=plain.sqlite --output=plain --quiet --threads=1 --claim=1 &&
        hashes plain.sqlite >want && [ "$(wc -l <want)" -eq 16 ]
}

run() { # THREADS SHARDS CLAIM WORKERS CACHE LAYOUT
    local threads=$1 shards=$2 claim=$3 workers=$4 cache=$5 layout=$6 i
    local how=(--quiet --threads="$threads" --claim="$claim" --workers="$workers" --layout="$layout" --output=m)
    rm -rf m m.sqlite* plan* && cp q.sqlite m.sqlite || return 1
    [ "$cache" = cold ] && rm -rf cache
    [ "$cache" = off ] || how+=(--embed-cache=cache)
    if [ "$shards" = 1 ]; then
        cfgen-batch --db=m.sqlite "${how[@]}" || return 1
    else
        cfgen-jobs plan --db=m.sqlite --shards="$shards" --out=plan.sqlite >/dev/null || return 1
        for i in $(seq 0 $((shards - 1))); do
            cfgen-batch --db=plan.sqlite --shard="$i" "${how[@]}" || return 1
        done
        cfgen-jobs merge --db=m.sqlite plan-*.results.sqlite >/dev/null || return 1
    fi
    hashes m.sqlite >got && cmp want got && sound m.sqlite
}

all() {
    local n=0 runs=0 threads shards claim workers cache layout
    for cache in off cold warm; do
        for layout in files tar; do
            for workers in 1 2; do
                for claim in 1 16; do
                    for shards in 1 4 9; do
                        for threads in 1 2 3; do
                            n=$((n + 1))
                            [ $((n % every)) -eq 0 ] || continue
                            run $threads $shards $claim $workers $cache $layout || {
                                echo "threads $threads, shards $shards, claim $claim, workers $workers, cache $cache, layout $layout"
                                return 1
                            }
                            runs=$((runs + 1))
                        done
                    done
                done
            done
        done
    done
    echo "$runs of $n combinations"
    [ $runs -gt 5 ]
}
case_ "one thread, one image at a time" plain
case_ "the same pixels for threads, shards, claims, workers, cache and layout" all
plan_
