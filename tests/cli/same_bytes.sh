#!/bin/bash
# Same job, same bytes: whatever the threads, the claim and the images beside it.
. "${CFGEN_SRCDIR:-.}/tests/cli/init.sh"

prompts() {
    printf '%s\n' 'red apple' 'penguin on a blue background' 'octopus' \
        'a very long prompt with many words that the small model has never seen in its life' \
        'banana' 'tiger face , noto style' 'x'
}
run() { # NAME OPTION...
    local name=$1
    shift
    cfgen-jobs init --db="$name.sqlite" &&
        prompts | cfgen-jobs add --db="$name.sqlite" --format=text --seeds=3,4 - &&
        prompts | cfgen-jobs add --db="$name.sqlite" --format=text --negative='green leaf' - &&
        cfgen-batch --db="$name.sqlite" --output="$name" --quiet "$@" &&
        manifest "$name.sqlite" >"$name.jsonl" && [ "$(wc -l <"$name.jsonl")" -eq 21 ]
}
like_first() { # NAME OPTION...
    run "$@" && cmp first.jsonl "$1.jsonl" && diff -r first "$1"
}

case_ "one thread, one image at a time" run first --threads=1 --claim=1 --side-by-side=1
case_ "two threads give the same bytes" like_first t2 --threads=2 --claim=1 --side-by-side=1
case_ "three threads give the same bytes" like_first t3 --threads=3 --claim=1 --side-by-side=1
case_ "five side by side give the same bytes" like_first s5 --threads=2 --claim=5 --side-by-side=5
case_ "sixteen per claim give the same bytes" like_first c16 --threads=1 --claim=16 --side-by-side=8
case_ "two side by side on three threads give the same bytes" like_first s2 --threads=3 --claim=7 --side-by-side=2
case_ "one group of two threads gives the same bytes" like_first g1 --threads=2 --groups=1
case_ "two groups of two threads give the same bytes" like_first g2 --threads=4 --groups=2 --claim=9 --side-by-side=5
case_ "groups bound to their cores give the same bytes" like_first bound --threads="$(nproc)" --groups="$(nproc)" --bind=cores
two_nodes() {
    export HWLOC_SYNTHETIC='NUMANode:2 core:2 pu:1'
    like_first nodes --threads=4 --groups=2 && like_first nodes1 --threads=4
    local got=$?
    unset HWLOC_SYNTHETIC
    return $got
}
case_ "two NUMA nodes with weights of their own give the same bytes" two_nodes

# Threads enough that one of them is worth having for the texts, beside the groups.
small() { # NAME OPTION...
    local name=$1
    shift
    cfgen-jobs init --db="$name.sqlite" && prompts | sed 's/.*/{"prompt": "&", "width": 64, "height": 64}/' |
        cfgen-jobs add --db="$name.sqlite" --format=jsonl - &&
        cfgen-batch --db="$name.sqlite" --output="$name" --model=./wide "$@" 2>"$name.log" &&
        manifest "$name.sqlite" >"$name.jsonl"
}
beside() {
    cfgen-model synth --geometry=infinity-125m --bits=16 --hold=pack --depth=2 --embed-dim=64 --num-heads=1 \
        --mlp-hidden=128 --base-channels=32 --text-width=512 --text-layers=12 --text-vocab=4224 wide &&
        small between --threads=1 && small beside --threads=32 || return 1
    cat beside.log
    grep -q 'arrangement=".*, 1 for texts"' beside.log && ! grep -q 'for texts' between.log &&
        cmp between.jsonl beside.jsonl && diff -r between beside
}
case_ "texts encoded beside the groups give the same bytes" beside
rm -rf wide

two_workers() {
    cfgen-jobs init --db=w.sqlite &&
        prompts | cfgen-jobs add --db=w.sqlite --format=text --seeds=3,4 - &&
        prompts | cfgen-jobs add --db=w.sqlite --format=text --negative='green leaf' - || return 1
    cfgen-batch --db=w.sqlite --output=w --quiet --threads=1 --claim=2 &
    cfgen-batch --db=w.sqlite --output=w --quiet --threads=1 --claim=2 || return 1
    wait $! || return 1
    manifest w.sqlite >w.jsonl && cmp first.jsonl w.jsonl && diff -r first w
}
case_ "two workers on one queue give the same bytes" two_workers

alone() {
    local path
    path=$(sqlite3 first.sqlite "SELECT o.path FROM output o JOIN job j ON j.id=o.job_id
        JOIN prompt p ON p.id=j.prompt_id WHERE p.text='octopus' AND j.seed=4")
    cfgen --seed=4 --output=alone.webp octopus &&
        dwebp -quiet alone.webp -ppm -o a.ppm && dwebp -quiet "first/$path" -ppm -o b.ppm &&
        cmp a.ppm b.ppm
}
case_ "cfgen gives the same pixels as cfgen-batch" alone
case_ "the queues are sound" sound first.sqlite
plan_
