#!/bin/bash
# Fault 3: the power goes at every sync of a run, and the disk keeps what it must, or more.
# No done row without a whole file, whatever it kept; and the next run ends the work.
. "${CFGEN_SRCDIR:-.}/tests/cli/init.sh"
record=$bld/tests/fault/record.so
replay=$bld/tests/fault/replay
if nm -C "$bld/cfgen-batch" 2>/dev/null | grep -qE '__(a|ub)san_'; then
    echo "1..0 # SKIP a sanitizer does not go with a preloaded library"
    exit 0
fi

prompts=('red apple' 'octopus' 'banana' 'tiger face' 'penguin' 'green leaf')
calm() {
    queue calm.sqlite "${prompts[@]}" && cfgen-batch --db=calm.sqlite --output=calm --quiet &&
        manifest calm.sqlite >calm.jsonl && [ "$(wc -l <calm.jsonl)" -eq 6 ]
}

recorded() { # NAME OPTION...: a run in NAME/, its log, and what was there before
    local name=$1
    shift
    mkdir "$name" && queue "$name/q.sqlite" "${prompts[@]}" && cp -a "$name" "$name.before" &&
        find "$name" -printf '%i %y %P\n' >"$name.list" &&
        LD_PRELOAD=$record RECORD_LOG=$PWD/$name.log RECORD_ROOT=$name \
            cfgen-batch --db="$name/q.sqlite" --quiet --claim=3 "$@" &&
        [ "$("$replay" "$name.log" "$name.before" "$name.list")" -ge 10 ]
}

# Every done row has its bytes: the queue's own files, or members of its tars.
whole() { # DIR
    local path offset bytes hash file
    cfgen-jobs check --db="$1/q.sqlite" >/dev/null || return 1
    sqlite3 "$1/q.sqlite" 'SELECT path, offset, bytes, file_sha256 FROM output' >rows || return 1
    while IFS='|' read -r path offset bytes hash; do
        file=$1/images/$path
        [ -f "$file" ] || file=$file.part
        [ "$(tail -c +$((offset + 1)) "$file" | head -c "$bytes" | sha256sum | cut -d' ' -f1)" = "$hash" ] ||
            { echo "done, but not whole: $path"; return 1; }
    done <rows
}

every_cut() { # NAME MODEL
    local k n done=0
    n=$("$replay" "$1.log" "$1.before" "$1.list") || return 1
    for k in $(seq 0 "$n"); do
        rm -rf state
        "$replay" "$1.log" "$1.before" "$1.list" "$k" "$2" state || return 1
        whole state || { echo "power cut before sync $((k + 1)), $2"; return 1; }
        done=$((done + $(wc -l <rows)))
    done
    echo "$((n + 1)) cuts, $done done rows looked at"
    [ "$done" -gt 0 ]
}

ends() { # NAME MODEL EVERY OPTION...: after some of the cuts the next run ends the work
    local k n name=$1 model=$2 every=$3
    shift 3
    n=$("$replay" "$name.log" "$name.before" "$name.list") || return 1
    for k in $(seq 1 "$every" "$n"); do
        rm -rf state
        "$replay" "$name.log" "$name.before" "$name.list" "$k" "$model" state &&
            cfgen-batch --db=state/q.sqlite --quiet --max-crashes=100 "$@" && sound state/q.sqlite ||
            { echo "power cut before sync $((k + 1)), $model"; return 1; }
        manifest state/q.sqlite >state.jsonl && cmp "$name.jsonl" state.jsonl &&
            diff -r -x '.tmp-*' "$name/images" state/images ||
            { echo "power cut before sync $((k + 1)), $model: another result"; return 1; }
    done
}

case_ "an undisturbed run makes 6 images" calm
case_ "a run with layout files is recorded" recorded files
cp calm.jsonl files.jsonl
for model in synced names torn; do
    case_ "layout files, what is left is '$model': no done row without a whole file" every_cut files $model
done
case_ "layout files: the next run ends with the same files" ends files torn 7
careless() { ! every_cut files careless >careless.log && grep 'not whole' careless.log; }
case_ "images that nobody synced would be noticed" careless
plan_
