#!/bin/bash
# Limits and looks: time, one at a time, a look ahead, a file for monitors, logs.
. "${CFGEN_SRCDIR:-.}/tests/cli/init.sh"

many() { # FILE N
    cfgen-jobs init --db="$1" >/dev/null && seq 1 "$2" | sed 's/^/red apple number /' |
        cfgen-jobs add --db="$1" --format=text - >/dev/null
}
ask() { sqlite3 "$@"; }
untouched() { [ "$(ask "$1" 'SELECT count(*) FROM attempt')" -eq 0 ] && sound "$1"; }
no_leases() { [ "$(ask "$1" 'SELECT count(*) FROM lease')" -eq 0 ] && sound "$1"; }

# ---- time ----
many t.sqlite 3000
over() { # LIMIT
    exits 75 cfgen-batch --db=t.sqlite --output=t --quiet --time-limit="$1" && untouched t.sqlite
}
case_ "a limit that has passed claims nothing and says 75" over 0:00
case_ "squeue's INVALID is a limit that has passed" over INVALID
case_ "--stop-status is what a passed limit gives" \
    exits 3 cfgen-batch --db=t.sqlite --output=t --quiet --time-limit=0 --stop-status=3
case_ "a limit that is no span of time is refused" \
    says 'time-limit.*5 minutes' 64 cfgen-batch --db=t.sqlite --time-limit='5 minutes'
within() {
    local start end
    start=$(date +%s%N)
    exits 75 cfgen-batch --db=t.sqlite --output=t --quiet --threads=1 --time-limit=0:02 || return 1
    end=$(date +%s%N)
    echo "took $(((end - start) / 1000000)) ms"
    [ $((end - start)) -lt 2000000000 ] && no_leases t.sqlite &&
        [ "$(ask t.sqlite 'SELECT count(*) FROM job WHERE attempts + crashes + releases > 0')" -eq 0 ] &&
        [ "$(ask t.sqlite 'SELECT count(*) FROM job WHERE state IN (0, 2)')" -eq 3000 ]
}
case_ "a worker with a limit ends before it, and nothing is charged or given back" within
made() { [ "$(ask t.sqlite 'SELECT count(*) FROM output')" -gt 0 ]; }
case_ "and has made images until then" made
unlimited() {
    queue u.sqlite 'red apple' && cfgen-batch --db=u.sqlite --output=u --quiet --time-limit=UNLIMITED &&
        cfgen-batch --db=u.sqlite --output=u --quiet --time-limit=1-00:00:00
}
case_ "squeue's UNLIMITED is none, and an empty queue is 0" unlimited

# ---- status file ----
status_file() {
    queue s.sqlite 'red apple' 'octopus' &&
        cfgen-batch --db=s.sqlite --output=s --quiet --status-file=s.json &&
        jq -e '.state == "ended" and .done == 2 and .total == 2 and .failed == 0 and .exit_status == 0
            and .stage_ms.generate > 0 and (.host | length) > 0 and .pid > 0' s.json &&
        [ "$(find . -maxdepth 1 -name 's.json*' | wc -l)" -eq 1 ]
}
case_ "the status file tells how a run ended" status_file
no_status_file() {
    queue n.sqlite 'red apple' &&
        says 'no status file' 0 cfgen-batch --db=n.sqlite --output=n --status-file=nowhere/s.json &&
        [ "$(grep -c 'no status file' said.log)" -eq 1 ]
}
case_ "a status file that cannot be written is one warning" no_status_file

# ---- a look ahead ----
many d.sqlite 50
# Readers of a write-ahead log leave its two files, as cfgen-jobs status does.
look() { # FROM: what the estimate comes from
    find . -newer mark -type f ! -name '*.log' ! -name 'look.*' ! -name '*-shm' ! -name '*-wal' >look.before
    cfgen-batch --db=d.sqlite --output=d --dry-run --log-format=json "${@:2}" >look.json || return 1
    find . -newer mark -type f ! -name '*.log' ! -name 'look.*' ! -name '*-shm' ! -name '*-wal' >look.after
    cmp look.before look.after && jq -e --arg from "$1" '.from == $from and .image_ms > 0 and
        .weight_bytes > 0 and .work_bytes > 0 and .disk_bytes > 0 and .disk_free_bytes > 0' look.json
}
first_look() {
    touch mark && sha256sum d.sqlite >look.sum && look trial && jq -e '.jobs == 50 and .images == 2' look.json &&
        sha256sum -c look.sum && untouched d.sqlite && [ ! -e d ] &&
        [ -z "$(find . -name '.cfgen-worker-*')" ]
}
case_ "--dry-run tells jobs, time, memory and disk and changes nothing" first_look
second_look() {
    cfgen-batch --db=d.sqlite --output=d --quiet --max-jobs=10 && touch mark && look history &&
        jq -e '.jobs == 40 and .images == 10' look.json
}
case_ "with a past it goes by that" second_look
look_text() {
    cfgen-batch --db=d.sqlite --output=d --dry-run --max-jobs=5 >look.txt &&
        grep -qx 'jobs    5' look.txt && grep -q '^time    0:00:' look.txt &&
        grep -q '^memory .*weights' look.txt && grep -q '^disk .*free in d$' look.txt
}
case_ "as lines for people" look_text
case_ "a look at a queue that is not there is 66" exits 66 cfgen-batch --db=none.sqlite --dry-run
bad_model() {
    cp -r "$shipped" bad && chmod -R u+w bad || return 1
    local f
    f=$(find bad -name '*.safetensors' -size +10k | head -1)
    printf 'x' | dd of="$f" bs=1 seek=9000 conv=notrunc 2>/dev/null
    says 'sha256|hash' 65 cfgen-batch --db=d.sqlite --model=./bad --dry-run
}
case_ "a look at a damaged model is 65" bad_model

# ---- one at a time ----
many x.sqlite 400
exclusive() {
    cfgen-batch --db=x.sqlite --output=x --exclusive 2>x1.log &
    local a=$!
    cfgen-batch --db=x.sqlite --output=x --exclusive 2>x2.log &
    local b=$!
    wait $a && wait $b || return 1
    cat x1.log x2.log
    [ "$(grep -l 'finished images=400' x1.log x2.log | wc -l)" -eq 1 ] &&
        [ "$(grep -l 'another worker is at work' x1.log x2.log | wc -l)" -eq 1 ] &&
        [ "$(ask x.sqlite 'SELECT count(*) FROM worker')" -eq 1 ]
}
case_ "of two that start at once one works and the other leaves with 0" exclusive
many y.sqlite 400
beside() {
    cfgen-batch --db=y.sqlite --output=y --quiet &
    local a=$! i
    for i in $(seq 1 500); do
        [ -n "$(find y -name '*.webp' 2>/dev/null | head -1)" ] && break
        sleep 0.02
    done
    cfgen-batch --db=y.sqlite --output=y --exclusive --quiet >y.log 2>&1 || return 1
    kill -0 $a && [ ! -s y.log ] || return 1
    kill $a
    wait $a
    [ "$(ask y.sqlite 'SELECT count(*) FROM worker')" -eq 1 ]
}
case_ "one that wants to be alone leaves where another is at work, and says nothing" beside
after() { cfgen-batch --db=y.sqlite --output=y --exclusive --quiet --max-jobs=3; }
case_ "and works when nobody is" after

# ---- logs ----
logs() {
    queue l.sqlite 'red apple' 'octopus' && echo before >l.log &&
        cfgen-batch --db=l.sqlite --output=l --log-file=l.log --log-format=json -v 2>l.err &&
        [ ! -s l.err ] && [ "$(head -1 l.log)" = before ] && tail -n +2 l.log >l.jsonl &&
        jq -es 'all(has("ts") and has("level") and has("event") and has("host")) and
            (map(select(.event == "done")) | length == 2 and
             all(.worker > 0 and .job > 0 and .attempt == 1 and (.ms | has("generate"))))' l.jsonl
}
case_ "--log-file is appended to, one JSON object a line with who, which job and how long" logs
errors() {
    cfgen-jobs init --db=e.sqlite >/dev/null && cfgen-jobs add --db=e.sqlite --model=nothing --format=text - <<<'x' >/dev/null &&
        exits 1 cfgen-batch --db=e.sqlite --output=e --log-file=e.log --log-format=json --fail-fast=9 --max-attempts=1 2>e.err
    jq -es 'any(.event == "job failed" and .code == "ENOENT" and .job == 1 and .attempt == 1)' e.log && grep -q 'job failed' e.err &&
        ! grep -q 'model loaded' e.err
}
case_ "errors are also told on standard error" errors
case_ "a log file that cannot be is 73" \
    says 'log file nowhere/l' 73 cfgen-batch --db=l.sqlite --log-file=nowhere/l
quiet() {
    queue q.sqlite 'red apple' && cfgen-batch --db=q.sqlite --output=q --exclusive --quiet --time-limit=9m >q.log 2>&1 &&
        [ ! -s q.log ]
}
case_ "a good run under cron says nothing at all" quiet
plan_
