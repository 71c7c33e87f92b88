#!/bin/bash
# A model of the released kind, small and made up: weights read in place that leave memory for
# the encoder's turn, and sizes by ratio and class.
. "${CFGEN_SRCDIR:-.}/tests/cli/init.sh"

cfgen-model synth --geometry=infinity-125m --embed-dim=64 --depth=2 --num-heads=2 --mlp-hidden=64 \
    --base-channels=24 --text-width=64 --text-layers=1 --text-vocab=4100 --dtype=int8 m >/dev/null || exit 99
jq '.sizes.trained = ["1M"]' m/model.json >m.json || exit 99
export CFGEN_MODEL=./m

fill() { # DB: two groups by size, so that the generator goes on after a turn
    queue "$1" 'red apple' octopus && echo banana | cfgen-jobs add --db="$1" --size=4:3@0.06M --negative=leaf -
}
run() { # NAME OPTION...
    local name=$1
    shift
    fill "$name.db" && cfgen-batch --db="$name.db" --output="$name" "$@" 2>"$name.log" && manifest "$name.db" >"$name.jsonl" &&
        [ "$(wc -l <"$name.jsonl")" -eq 3 ]
}
like_first() { run "$@" && cmp first.jsonl "$1.jsonl" && diff -r first "$1" && grep -q 'encoder=release' "$1.log"; }
case_ "generator and encoder together" run first --encoder=keep
case_ "in turns the images are the same" like_first turns --encoder=release --claim=1
told() {
    local f=first/$(sqlite3 first.db 'SELECT path FROM output LIMIT 1')
    [ "$(cfgen --meta="$f" | jq -r .weights)" = 'transformer int8 mapped, text encoder bf16 mapped' ]
}
case_ "the record tells the types and that they were read in place" told

# ---- sizes ----

sized() { # WANT NOTE OPTION...
    local want=$1 note=$2
    shift 2
    cfgen -o s.webp "$@" fox 2>note.txt || { cat note.txt; return 1; }
    [ "$(cfgen --meta=s.webp | jq -r '"\(.width)x\(.height)"')" = "$want" ] || { cfgen --meta=s.webp; return 1; }
    if [ "$note" ]; then grep -q "$note" note.txt; else [ ! -s note.txt ]; fi || { cat note.txt; return 1; }
}
case_ "a class without a ratio is a square" sized 256x256 '' --size=0.06M
case_ "a ratio of width to height with a class is the template's" sized 336x224 '' --size=3:2@0.06M --strict-size
case_ "a ratio that is no template takes the nearest, and says so" sized 336x192 'asked for .*nearest size of the model is 336 x 192' --size=16:9@0.06M
case_ "and is refused when it must be exact" says 'none of the model.s; the nearest is 336 x 192' 65 cfgen --size=16:9@0.06M --strict-size fox
case_ "a class that the model has not is refused with those it has" says 'classes 0.06M, 0.25M' 65 cfgen --size=2M fox
warned() { # once per worker and class, and in the row of each image
    cp m.json m/model.json && queue w.db 'red apple' octopus banana && sqlite3 w.db 'UPDATE job SET width=256, height=256' &&
        cfgen-batch --db=w.db --output=w --claim=1 2>w.log &&
        [ "$(grep -c 'not trained for this size.*class=0.06M' w.log)" -eq 1 ] &&
        [ "$(sqlite3 w.db "SELECT count(*) FROM output WHERE note LIKE '%not trained%'")" -eq 3 ]
}
case_ "a size that the model was not trained for is warned of once" warned
plan_
