#!/bin/bash
# A run that is killed again and again ends as an undisturbed one: 64 real prompts.
. "${CFGEN_SRCDIR:-.}/tests/cli/init.sh"

awk -F'\t' 'NR == 1 || NR % 25 == 2' "$src/tests/data/PartiPrompts.tsv" | head -65 >parti.tsv

fill() {
    cfgen-jobs init --db="$1" && cfgen-jobs add --db="$1" --format=tsv parti.tsv
}

undisturbed() {
    fill calm.sqlite && cfgen-batch --db=calm.sqlite --output=calm --quiet &&
        manifest calm.sqlite >calm.jsonl && [ "$(wc -l <calm.jsonl)" -eq 64 ]
}

# Kill the worker when it has made a few more images, at a random moment.
disturbed() {
    local kills=0 round pid before now i
    fill wild.sqlite || return 1
    for round in $(seq 1 60); do
        cfgen-batch --db=wild.sqlite --output=wild --quiet --claim=4 --side-by-side=2 \
            --max-crashes=1000 &
        pid=$!
        if [ "$kills" -lt 8 ]; then
            before=$(find wild -type f 2>/dev/null | wc -l)
            for i in $(seq 1 1000); do
                now=$(find wild -type f 2>/dev/null | wc -l)
                [ "$now" -ge $((before + 2)) ] && break
                kill -0 $pid 2>/dev/null || break
                sleep 0.02
            done
            sleep "0.0$((RANDOM % 10))"
            kill -9 $pid 2>/dev/null && kills=$((kills + 1))
        fi
        wait $pid 2>/dev/null
        [ $? -eq 0 ] && break
    done
    echo "kills: $kills, rounds: $round"
    [ "$kills" -ge 4 ] || { echo "too few kills to prove anything"; return 1; }
    cfgen-jobs status --db=wild.sqlite --exit-code
}

same() { manifest wild.sqlite >wild.jsonl && cmp calm.jsonl wild.jsonl; }
files_same() { diff -r calm wild; }
once() {
    [ "$(sqlite3 wild.sqlite 'SELECT count(*) FROM output')" -eq 64 ] &&
        [ "$(sqlite3 wild.sqlite 'SELECT count(*) FROM job WHERE state<>2')" -eq 0 ]
}
decodes() {
    local f
    for f in $(find wild -name '*.webp'); do
        webpinfo -quiet "$f" && dwebp -quiet "$f" -ppm -o /dev/null || { echo "$f"; return 1; }
    done
}

# ExifTool reads what the row says: prompt, seed, model hash.
told() {
    local path prompt hash
    exiftool -json -struct -r wild >exif.json || return 1
    hash=$(sha256sum "$shipped/model.json" | cut -d' ' -f1)
    [ "$(grep -c "$hash" exif.json)" -ge 64 ] || { echo "model hash"; return 1; }
    jq -n --slurpfile exif exif.json --slurpfile job wild.jsonl '
        ($exif[0] | map({key: (.SourceFile | split("/") | last), value: ([.. | strings, numbers])}) | from_entries) as $told
        | $job | map(. as $j | $told[$j.path | split("/") | last]
            | select((any(. == $j.prompt) and any(. == $j.seed)) | not) | $j.id) | if . == [] then empty else error("not told: \(.)") end'
}

case_ "an undisturbed run makes 64 images" undisturbed
case_ "a run killed with -9 at random ends complete" disturbed
case_ "its manifest equals that of the undisturbed run" same
case_ "its files equal those of the undisturbed run byte for byte" files_same
case_ "every job was done once" once
case_ "the queue is sound" sound wild.sqlite
case_ "no temporary file is left" no_temporaries wild
case_ "webpinfo and dwebp accept every file" decodes
if command -v exiftool >/dev/null && command -v jq >/dev/null; then
    case_ "ExifTool reads prompt, seed and model hash of every file" told
else
    skip_ "ExifTool reads prompt, seed and model hash of every file" "no exiftool or jq"
fi
plan_
