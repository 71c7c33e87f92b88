#!/bin/bash
# Faults 2, 13, 16, 19: told to stop, robbed of its lease, crashed or given numbers that are
# none, at a stage that the test picks. Needs a build with fault points.
. "${CFGEN_SRCDIR:-.}/tests/cli/init.sh"
if ! grep -q 'CFGEN_FAULT' "$bld/cfgen-batch"; then
    echo "1..0 # SKIP built without fault points (configure --enable-faults)"
    exit 0
fi
export CFGEN_FAULT_FILE=$PWD/reached
many() { printf '%s\n' 'red apple' octopus banana 'tiger face' penguin 'green leaf' fire water; }
fresh() { rm -rf q.sqlite* img reached && cfgen-jobs init --db=q.sqlite >/dev/null && many | cfgen-jobs add --db=q.sqlite --format=text - >/dev/null; }
charged() { sqlite3 q.sqlite 'SELECT sum(attempts) + sum(crashes) FROM job'; }
leases() { sqlite3 q.sqlite 'SELECT count(*) FROM lease'; }
arrives() { # PID: the worker stands at the place
    local i
    for i in $(seq 1 2000); do
        [ -e reached ] && return 0
        kill -0 "$1" 2>/dev/null || return 1
        sleep 0.01
    done
    return 1
}
finished() { cfgen-batch --db=q.sqlite --output=img --quiet && sound q.sqlite && [ "$(manifest q.sqlite | wc -l)" -eq 8 ]; }

stop_at() { # STAGE LAYOUT
    local pid start ms
    fresh || return 1
    CFGEN_FAULT=pause:$1 cfgen-batch --db=q.sqlite --output=img --quiet --claim=4 --layout="$2" --embed-cache=cache --grace=0 &
    pid=$!
    arrives $pid || { kill $pid; echo "never came to $1"; return 1; }
    kill -TERM $pid
    sleep 0.05
    start=$(date +%s%N)
    rm reached
    exits 75 wait $pid || return 1
    ms=$((($(date +%s%N) - start) / 1000000))
    echo "$ms ms"
    [ $ms -lt 2000 ] && sound q.sqlite && [ "$(leases)" -eq 0 ] && [ "$(charged)" -eq 0 ] && no_temporaries img && finished
}
for stage in load claim encode scale decode webp file row; do
    case_ "SIGTERM while it stands at '$stage' is answered in two seconds, uncharged" stop_at $stage files
done
for stage in webp file row; do
    case_ "SIGTERM while it stands at '$stage' with layout tar is answered in two seconds, uncharged" stop_at $stage tar
done

# Another process holds the database until let_go.
hold() {
    mkfifo hold && { sqlite3 q.sqlite <hold >held.log & holder=$!; } && exec 9>hold &&
        echo 'BEGIN EXCLUSIVE; SELECT 1;' >&9
    while ! [ -s held.log ]; do sleep 0.01; done
}
let_go() { exec 9>&-; wait $holder; rm -f hold held.log; }
stopped() { # PID STATUS: how long it took from the signal on
    local start ms
    start=$(date +%s%N)
    kill -TERM "$1"
    rm -f reached
    exits "$2" wait "$1" || return 1
    ms=$((($(date +%s%N) - start) / 1000000))
    echo "$ms ms"
    [ $ms -lt 2000 ]
}
locked() { # before the first claim
    local pid st
    fresh && hold || return 1
    cfgen-batch --db=q.sqlite --output=img --quiet 2>err.log &
    pid=$!
    sleep 1
    stopped $pid 75
    st=$?
    let_go
    [ $st -eq 0 ] && sound q.sqlite && [ "$(leases)" -eq 0 ] && [ "$(charged)" -eq 0 ] && finished
}
locked_at_work() { # its leases cannot be given back, but the next worker knows that it left
    local pid st
    fresh || return 1
    CFGEN_FAULT=pause:decode cfgen-batch --db=q.sqlite --output=img --quiet --grace=0 2>err.log &
    pid=$!
    arrives $pid && hold || return 1
    stopped $pid 75
    st=$?
    let_go
    [ $st -eq 0 ] && sound q.sqlite && [ "$(leases)" -gt 0 ] && finished && [ "$(charged)" -eq 0 ] &&
        [ -z "$(find . -maxdepth 1 -name '.cfgen-worker-*')" ]
}
case_ "SIGTERM while another process holds the database is answered in two seconds" locked
case_ "SIGTERM at work while another process holds the database is answered in two seconds, uncharged" locked_at_work

robbed() { # taken back by force in the middle of an image
    local pid worker
    fresh || return 1
    CFGEN_FAULT=pause:decode cfgen-batch --db=q.sqlite --output=img --quiet --claim=2 --max-jobs=2 2>err.log &
    pid=$!
    arrives $pid || return 1
    worker=$(sqlite3 q.sqlite 'SELECT max(id) FROM worker') && cfgen-jobs reap --db=q.sqlite --worker="$worker" &&
        rm reached && wait $pid && [ "$(sqlite3 q.sqlite "SELECT count(*) FROM output")" -eq 0 ] && sound q.sqlite && finished
}
case_ "a lease that was taken away in mid-image ends nothing, and the work is done again" robbed

poison() {
    local i
    local -x ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}handle_segv=0 # it would make an exit of the signal
    fresh || return 1
    for i in 1 2 3 4 5 6 7 8; do
        CFGEN_FAULT=segv:job=3 cfgen-batch --db=q.sqlite --output=img --quiet --claim=4 --max-crashes=3 2>err.log && break
        [ $? -eq 1 ] && break
    done
    sound q.sqlite && grep -q CRASH_LOOP err.log &&
        [ "$(sqlite3 q.sqlite 'SELECT group_concat(state) FROM (SELECT state FROM job ORDER BY id)')" = 2,2,3,2,2,2,2,2 ] &&
        [ "$(sqlite3 q.sqlite 'SELECT max(crashes) FROM job WHERE id <> 3')" -le 1 ] || { cat err.log; cfgen-jobs list --db=q.sqlite; return 1; }
}
case_ "a job that crashes its workers fails as CRASH_LOOP; the others are done" poison

not_numbers() {
    fresh || return 1
    exits 1 env CFGEN_FAULT=nan:scale=3 cfgen-batch --db=q.sqlite --output=img --quiet --max-attempts=1 --fail-fast=100 2>err.log &&
        sound q.sqlite && [ -z "$(find img -name '*.webp')" ] &&
        [ "$(sqlite3 q.sqlite "SELECT count(*) FROM failure WHERE code = 'ENUMERIC'")" -eq 8 ] && grep -q 'scale 3' err.log ||
        { cat err.log; return 1; }
}
case_ "a NaN is caught at its scale; no image is made" not_numbers

memory_step=${CFGEN_FAULT_EVERY:-89}
memory() { # the Nth request for memory is refused
    local n got ends=0
    fresh || return 1
    for n in $(seq 1 "$memory_step" 1100); do
        env CFGEN_FAULT=fail:memory="$n" cfgen-batch --db=q.sqlite --output=img --quiet --threads=1 2>err.log
        got=$?
        [ $got -eq 71 ] || [ $got -eq 0 ] || { echo "request $n: status $got"; cat err.log; return 1; }
        [ $got -eq 71 ] && ends=$((ends + 1)) && { grep -qE '[0-9]+ bytes' err.log || { echo "request $n"; cat err.log; return 1; }; }
        sound q.sqlite && [ "$(charged)" -eq 0 ] && [ "$(leases)" -eq 0 ] || { echo "request $n"; return 1; }
    done
    echo "$ends orderly ends"
    [ $ends -gt 3 ] && finished
}
case_ "memory refused at any request ends the run uncharged with 71, naming the size" memory
plan_
