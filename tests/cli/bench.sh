#!/bin/bash
# cfgen-bench runs, says what it measured in a form that programs read, and refuses to judge
# beside other load. No time is compared with anything.
. "${CFGEN_SRCDIR:-.}/tests/cli/init.sh"
# Beside other tests a thread that spins waits for one that has no processor.
export OMP_WAIT_POLICY=passive
command -v jq >/dev/null || { echo "1..0 # SKIP no jq"; exit 0; }

trial() { cfgen-bench --trial --force --threads=2 "$@"; }

parts='machine linear attention vector decoder transformer image queue'
everything() {
    trial --json >all.jsonl && jq -es 'length > 100' all.jsonl &&
        [ "$(jq -r .part all.jsonl | grep -v null | uniq | tr '\n' ' ')" = "$parts " ]
}
case_ "every part runs, in order, a JSON object a line" everything
case_ "the first line names machine, level, threads and caches" jq -es \
    '.[0] | .program and .processor and .level and .threads == 2 and .rounds == 1 and .last_cache > 0' all.jsonl
case_ "every case is named and has a number" jq -es \
    '[.[] | select(.part)] | all(.case != "" and (.seconds // .of_wall // .mib) > 0)' all.jsonl
case_ "no case of a part is there twice" jq -es \
    '[.[] | select(.part and .part != "decoder" and .part != "linear") | [.part, .case]] | length == (unique | length)' all.jsonl
case_ "few rows are told by the read bandwidth, more by the multiply-adds" jq -es \
    '[.[] | select(.part == "linear")] | all(if .case | test(", [12] rows?$") then .of_read > 0 else .of_peak > 0 end)' all.jsonl
case_ "every type of weights is compared with f32 on as many rows" jq -es \
    '[.[] | select(.part == "linear" and .speed)] | length == 18 and
     all((.against | sub("^f32 "; "")) as $of | .case | endswith(" " + $of))' all.jsonl
case_ "the last line tells the other load and that it was judged all the same" jq -es \
    '.[-1] | .load.others >= 0 and (.load.who | type == "string") and .judged' all.jsonl
case_ "a worker's images per core-hour are told" jq -es \
    'any(.part == "queue" and .images_per_core_hour > 0)' all.jsonl

stages() {
    trial --json --only=2b --model="$shipped_name" --pixels=32 >2b.jsonl &&
        jq -es '[.[] | select(.part)] |
            (map(select(.case | test("transformer$|image$") | not) | .seconds) | add) as $sum |
            (.[-1].case == "32 x 32: image") and (.[-1].seconds - $sum | fabs) < 1e-4 * $sum' 2b.jsonl
}
case_ "the stages of an image add up to it" stages

# Other bars of the part may be missed meanwhile (status 1).
beside() {
    local got=0
    trial --json --report --rounds=9 --model="$shipped_name" --only=image >peer.jsonl \
        --peer='echo "{\"about\": \"$MODEL $THREADS\"}"; while read -r _; do echo "{\"seconds\": 1000}"; done' || got=$?
    [ $got -le 1 ] && jq -es 'any(.peer and (.peer | test("'"$shipped_name"' 2"))) and
        any(.case == "the peer" and .seconds == 1000) and
        any(.case == "to the peer" and .speed > 1 and .against == "the peer") and
        any(.bar == "images to those of the peer" and .verdict == "met")' peer.jsonl
}
case_ "another program is timed in turns and compared" beside
dies() { exits 74 trial --only=image --model="$shipped_name" --peer='echo ready'  2>err.txt >out.txt && grep -q 'peer' err.txt; }
case_ "a peer that ends is told" dies

bars() {
    trial --report --model="$shipped_name" --only=machine,attention >bars.txt &&
        grep -c 'not judged$' bars.txt | grep -qx 1 && grep -q 'MiB of scratch.* <= 0.250  not judged$' bars.txt &&
        [ "$(grep -c 'not measured$' bars.txt)" -ge 15 ] && ! grep -E ' (met|missed)$' bars.txt
}
case_ "bars without nine rounds are not judged, and without their part not measured" bars
judged() {
    trial --rounds=9 --report --json --model="$shipped_name" --only=attention >bars.jsonl &&
        jq -es '[.[] | select(.bar and .verdict == "met")] | length == 1 and .[0].measured <= .[0].value' bars.jsonl
}
case_ "a bar that holds is met" judged

# ---- other load ----

spin() {
    spinners=
    for _ in $(seq "$(nproc)"); do
        while :; do :; done &
        spinners="$spinners $!"
    done
}
# shellcheck disable=SC2086
still() { kill $spinners; wait $spinners; } 2>/dev/null
refuses() {
    local got=0
    spin
    cfgen-bench --trial --only=machine >said.txt 2>err.txt || got=$?
    still
    cat said.txt err.txt
    [ $got = 3 ] && grep -q 'other load: .*processors busy.*(.*: [0-9.]*' said.txt && ! grep -q '^machine' said.txt &&
        grep -q 'nothing is judged; --force' err.txt
}
case_ "beside other load it measures nothing, says who it is, and ends with status 3" refuses
forced() {
    local got=0
    spin
    cfgen-bench --trial --force --threads=1 --only=machine >said.txt || got=$?
    still
    [ $got = 0 ] && grep -q '^machine' said.txt && grep -q '^other load: ' said.txt
}
case_ "with --force it measures and tells the load" forced

# ---- options ----

wrong() { # STATUS WORDS OPTION...
    local want=$1 words=$2
    shift 2
    exits "$want" cfgen-bench "$@" >out.txt 2>err.txt && grep -q -- "$words" err.txt
}
case_ "an unknown part is named" wrong 64 "unknown part 'rabbits'" --only=machine,rabbits
case_ "no part at all is refused" wrong 64 "no part" --only=
case_ "rounds out of range are refused" wrong 64 "--rounds" --rounds=100
case_ "an odd side is refused" wrong 64 "--pixels" --pixels=12
case_ "a model and a geometry exclude each other" wrong 64 "one of them" --model="$shipped_name" --geometry=infinity-2b
case_ "an operand is refused" wrong 64 "unexpected argument" linear
case_ "an unknown geometry is told with the known ones" wrong 64 "infinity-2b" --force --trial --only=linear --geometry=rabbit
case_ "an unknown model is told" wrong 66 "rabbit" --force --trial --only=image --model=rabbit

removed() {
    mkdir tmp
    TMPDIR=$PWD/tmp trial --only=queue >/dev/null && [ -z "$(ls tmp)" ]
}
case_ "what is made in TMPDIR is removed" removed
plan_
