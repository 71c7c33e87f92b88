# recorded.sh - runs under record.so; sourced by power.sh and kill.sh after cli/init.sh.
# shellcheck shell=bash
record=$bld/tests/fault/record.so
replay=$bld/tests/fault/replay
if nm -C "$bld/cfgen-batch" 2>/dev/null | grep -qE '__(a|ub)san_'; then
    echo "1..0 # SKIP a sanitizer does not go with a preloaded library"
    exit 0
fi
prompts=('red apple' 'octopus' 'banana' 'tiger face' 'penguin' 'green leaf')

# recorded NAME OPTION...: a run in NAME/ that ends well; NAME.log, and what was there before
# in NAME.before and NAME.list; the manifest in NAME.jsonl; $syncs and $changes counted.
recorded() {
    local name=$1
    shift
    mkdir "$name" && queue "$name/q.sqlite" "${prompts[@]}" && cp -a "$name" "$name.before" &&
        find "$name" -printf '%i %y %P\n' >"$name.list" &&
        LD_PRELOAD=$record RECORD_LOG=$PWD/$name.log RECORD_ROOT=$name \
            cfgen-batch --db="$name/q.sqlite" --quiet --claim=3 "$@" &&
        manifest "$name/q.sqlite" >"$name.jsonl" && [ "$(wc -l <"$name.jsonl")" -eq 6 ] &&
        counted "$name"
}
counted() {
    read -r syncs changes < <("$replay" "$1.log" "$1.before" "$1.list") &&
        echo "$syncs syncs, $changes changes" && [ "$syncs" -ge 10 ] && [ "$changes" -ge 50 ]
}

# Every done row has its bytes: a file of its own, or a member of a tar.
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

# goes_on NAME DIR OPTION...: the next run in DIR ends the work as the run of NAME did.
goes_on() {
    local name=$1 dir=$2
    shift 2
    cfgen-batch --db="$dir/q.sqlite" --quiet --claim=3 --max-crashes=1000 "$@" && sound "$dir/q.sqlite" &&
        manifest "$dir/q.sqlite" >again.jsonl && cmp "$name.jsonl" again.jsonl
}
