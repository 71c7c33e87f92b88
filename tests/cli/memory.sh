#!/bin/bash
# Generator and text encoder together, in turns, or not at all: as memory allows, and never
# another image.
. "${CFGEN_SRCDIR:-.}/tests/cli/init.sh"

fill() { # DB: more jobs than a claim, with and without a negative prompt
    cfgen-jobs init --db="$1" && seq 1 9 | sed 's/^/red apple number /' | cfgen-jobs add --db="$1" --format=text --seeds=1,2 - &&
        printf 'octopus\nbanana\n' | cfgen-jobs add --db="$1" --format=text --negative='green leaf' -
}
run() { # NAME OPTION...
    local name=$1
    shift
    fill "$name.db" && cfgen-batch --db="$name.db" --output="$name" --threads=1 "$@" 2>"$name.log" &&
        manifest "$name.db" >"$name.jsonl" && [ "$(wc -l <"$name.jsonl")" -eq 20 ]
}
like_first() { run "$@" && cmp first.jsonl "$1.jsonl" && diff -r first "$1"; }
turns() { grep -q 'encoder=release' "$1.log"; }

# What the parts take, in bytes, by what --dry-run says of one image at a time.
fill plan.db >/dev/null || exit 99
parts() { cfgen-batch --db=plan.db --dry-run --log-format=json --threads=1 --side-by-side=1 "$@"; }
parts >parts.json || exit 99
part() { jq ".$1" parts.json; }
together=$(part peak_bytes)
alone=$((together - $(part encoder_bytes)))

case_ "together" run first --encoder=keep
case_ "in turns by order: the same bytes" like_first ordered --encoder=release
case_ "the log says so" turns ordered
case_ "in turns by want of memory: the same bytes" like_first tight --memory=$((together - 1024)) --side-by-side=1
case_ "the log says so, too" turns tight
case_ "in turns and one job a claim: the same bytes" like_first single --encoder=release --claim=1
case_ "in turns with two threads: the same bytes" like_first two --encoder=release --threads=2
case_ "with room for both they stay" run roomy --memory=1G
stays() { ! turns roomy && [ "$(grep -c 'encoder=keep' roomy.log)" -eq 1 ]; }
case_ "and the log says that" stays

once() { # the encoder's turn is the whole claim: all is encoded before the first image
    grep -o 'encode_misses=[0-9]*' ordered.log | grep -qx 'encode_misses=12'
}
case_ "each text is encoded once" once
longer() { # texts are known later than weights: a run that would not fit sends the encoder away
    queue long.db "$(seq -s ' ' 1 200)" && cfgen-batch --db=long.db --output=long --threads=1 --quiet --side-by-side=1 --memory=$((together + 1024)) &&
        queue long2.db "$(seq -s ' ' 1 200)" && cfgen-batch --db=long2.db --output=long2 --threads=1 --quiet && diff -r long long2
}
case_ "a text that is longer than was thought changes nothing" longer

refused() { # PATTERN COMMAND...: says what is needed, what there is, and what helps
    fill r.db && says "$1" 71 "${@:2}" && sound r.db && [ "$(sqlite3 r.db 'SELECT count(*) FROM job WHERE state=0 AND attempts=0')" -eq 20 ]
    local got=$?
    rm -f r.db*
    return $got
}
case_ "what does not fit alone is refused before any job, with what helps" refused \
    'the generator takes .*MiB \(weights .*working memory of 32 x 32 .*there are .*--memory.*--kv-type=bf16.*quantize' \
    cfgen-batch --db=r.db --output=r --memory=$((alone - 1024)) --threads=1
case_ "workers of one model cannot take turns" refused 'workers cannot take turns.*--workers=1' \
    cfgen-batch --db=r.db --output=r --workers=2 --encoder=release
single() { says 'the generator takes' 71 cfgen --memory=1M --output=s.webp fox && [ ! -f s.webp ] &&
    cfgen --memory=$((alone + 524288)) --output=s.webp fox && cfgen --output=t.webp fox && cmp s.webp t.webp; }
case_ "cfgen keeps to its memory, too, and needs no room for both" single
case_ "a memory that is no number is refused" says '--memory' 64 cfgen --memory=lots fox
case_ "a mode that is none is refused" says '--encoder' 64 cfgen-batch --db=plan.db --encoder=maybe

encoding() { # an image to begin with is encoded in memory that counts, too
    local more
    cfgen --output=fox.webp fox && cfgen-jobs init --db=init.db && echo owl | cfgen-jobs add --db=init.db --init-image=fox.webp --keep-scales=2 - &&
        more=$(cfgen-batch --db=init.db --dry-run --log-format=json --threads=1 --side-by-side=1 2>/dev/null | jq .peak_bytes) && [ "$more" -gt "$together" ] &&
        more=$((more - $(part encoder_bytes))) && [ "$more" -gt "$alone" ] &&
        says 'the generator takes' 71 cfgen --memory=$((more - 1024)) --init-image=fox.webp --keep-scales=2 --output=i.webp owl && [ ! -f i.webp ] &&
        cfgen --memory=$((more + 524288)) --init-image=fox.webp --keep-scales=2 --output=i.webp owl &&
        says 'the generator takes' 71 cfgen --memory=$((more - 1024)) --from=i.webp --init-image=fox.webp --check
}
case_ "an image to begin with is encoded in memory that counts" encoding

# ---- found out ----

by_slurm() { # 4096 MiB less a sixteenth
    [ "$(SLURM_MEM_PER_NODE=4096 parts | jq -r '.memory_by, .memory_bytes' | paste -sd' ')" = 'Slurm 4026531840' ] &&
        [ "$(SLURM_MEM_PER_CPU=1024 SLURM_CPUS_ON_NODE=2 parts | jq .memory_bytes)" = 2013265920 ]
}
case_ "Slurm's bound is found" by_slurm
told() {
    [ "$(part memory_bytes)" -gt 0 ] && part memory_by | grep -qE 'physical|cgroup' && [ "$(part encoder)" = '"keep"' ] &&
        [ "$(parts --memory=$((together - 1)) | jq -r .encoder)" = release ] &&
        cfgen-batch --db=plan.db --dry-run --encoder=release | grep -qE '^memory .*weights .*text encoder .* in turn, working memory'
}
case_ "--dry-run tells who takes what, and turns" told
peak() {
    grep -oE 'peak_mib=[0-9]+' first.log | grep -qv 'peak_mib=0$' && cfgen-batch --db=first.db --output=first --quiet --status-file=status.json &&
        [ "$(jq .peak_bytes status.json)" -gt 1000000 ]
}
case_ "the peak is told in the end" peak
plan_
