#!/bin/bash
# Killed or refused at any system call, out of memory, or poisoned: the run goes on after it,
# and ends as an undisturbed one.
. "${CFGEN_SRCDIR:-.}/tests/cli/init.sh"

prompts=('red apple' 'octopus' 'banana' 'tiger face' 'penguin' 'green leaf')
queue fresh.sqlite "${prompts[@]}" || exit 99
if sanitized; then every=6; else every=1; fi # of the sample: a sanitized run is slow under strace

work() { cfgen-batch --db=w.sqlite --output=w --quiet --claim=3 --side-by-side=2 "$@"; }
renew() { rm -rf w w.sqlite* && cp fresh.sqlite w.sqlite; }
charged() { sqlite3 w.sqlite 'SELECT sum(attempts) + sum(crashes) FROM job'; }
goes_on() { # the next run ends it all
    local got=0
    work --max-crashes=1000 || { got=$?; echo "the next run ends with $got"; return 1; }
    sound w.sqlite && no_temporaries w && manifest w.sqlite >w.jsonl &&
        cmp calm.jsonl w.jsonl && diff -r calm w && [ -z "$(find . -maxdepth 1 -name '.cfgen-worker-*')" ]
}
calm() {
    renew && work && manifest w.sqlite >calm.jsonl && [ "$(wc -l <calm.jsonl)" -eq 6 ] && mv w calm
}
case_ "an undisturbed run makes 6 images" calm

inject() { # WHAT: a run with the system call tampered with
    local call=${1%%:*}
    ASAN_OPTIONS="${ASAN_OPTIONS:-}:detect_leaks=0" strace -f -qq -o trace -e "trace=$call" -e "inject=$1" \
        cfgen-batch --db=w.sqlite --output=w --quiet --claim=3 --side-by-side=2 2>err.log
}

killed() { # CALL PLACE...: kill -9 at these calls of a thread
    local call=$1 at kills=0 n=0
    shift
    for at; do
        n=$((n + 1))
        [ $((n % every)) -eq 0 ] || [ $# -lt "$every" ] || continue
        renew || return 1
        inject "$call:signal=SIGKILL:when=$at" 2>/dev/null
        [ $? -ne 137 ] || kills=$((kills + 1))
        { sound w.sqlite && goes_on; } || { echo "after kill -9 at $call number $at"; return 1; }
    done 2>/dev/null
    echo "$call: $kills kills"
    [ "$kills" -gt 0 ]
}
# Job 3 kills whoever writes its image. At first it stands in one claim with 1 and 2; from
# then on each of the three is claimed alone, in order, so that its rename is known by number.
poison() {
    local at got
    renew || return 1
    for at in 1 3 1; do
        inject "renameat:signal=SIGKILL:when=$at" 2>/dev/null
        got=$?
        [ "$got" -eq 137 ] || { echo "kill at rename $at: status $got"; return 1; }
    done 2>/dev/null
    exits 1 work --max-crashes=3 2>err.log && grep -q CRASH_LOOP err.log && sound w.sqlite &&
        [ "$(sqlite3 w.sqlite 'SELECT group_concat(state) FROM (SELECT state FROM job ORDER BY id)')" = 2,2,3,2,2,2 ] ||
        { cat err.log; cfgen-jobs list --db=w.sqlite; return 1; }
}
refused() { # STATUS CALL ERROR PLACE...: the call fails
    local want=$1 call=$2 error=$3 at got n=0
    shift 3
    for at; do
        n=$((n + 1))
        [ $((n % every)) -eq 0 ] || [ $# -lt "$every" ] || continue
        renew || return 1
        inject "$call:error=$error:when=$at"
        got=$?
        grep -q INJECTED trace || { echo "no $call number $at"; return 1; }
        {
            [ "$got" -eq "$want" ] && [ "$(charged)" -eq 0 ] && sound w.sqlite && no_temporaries w &&
                goes_on
        } || {
            echo "$error at $call number $at: status $got, charged $(charged)"
            cat err.log
            diff calm.jsonl w.jsonl
            diff -r calm w
            ls -a | grep cfgen-worker
            cfgen-jobs status --db=w.sqlite
            return 1
        }
    done
}

if command -v strace >/dev/null && strace -f -qq -o trace -e inject=getpid:error=EPERM true 2>/dev/null; then
    case_ "kill -9 at a write to the database costs nothing" killed pwrite64 9 13 18 22 27 38
    case_ "kill -9 at a sync of data costs nothing" killed fdatasync 2 5 8
    case_ "kill -9 at the rename of an image costs nothing" killed renameat 1 4
    case_ "kill -9 at the sync of a directory costs nothing" killed fsync 1 4 10
    case_ "kill -9 at an unlink costs nothing" killed unlink 1
    case_ "a job that kills its workers fails as CRASH_LOOP, alone, and the run says so" poison
    case_ "a full disk under the database stops the run uncharged with 74" refused 74 pwrite64 ENOSPC 5 14 22
    case_ "a quota reached under the images stops the run uncharged with 74" refused 74 write EDQUOT 1 3
    case_ "an image that cannot be renamed stops the run uncharged with 74" refused 74 renameat EIO 1 3
    case_ "an image that cannot be synced stops the run uncharged with 74" refused 74 fdatasync EIO 1 2
    case_ "a file system that turns read-only stops the run uncharged with 77" refused 77 renameat EROFS 2
else
    skip_ "kill -9 and errors at system calls" "strace may not trace here"
fi

# Less and less address space: an orderly end, whatever is refused first.
starved() {
    local kib got ends=0
    for kib in 400000 250000 200000 180000 160000 140000 120000; do
        renew || return 1
        (ulimit -v $kib && work 2>err.log)
        got=$?
        [ $got -eq 127 ] && break # the loader itself
        [ $got -eq 0 ] || [ $got -eq 71 ] || { echo "$kib KiB: status $got"; cat err.log; return 1; }
        [ $got -eq 0 ] || ends=$((ends + 1))
        [ "$(charged)" -eq 0 ] && sound w.sqlite || { echo "$kib KiB: charged"; return 1; }
    done
    echo "$ends orderly ends"
    goes_on
}
if sanitized; then
    skip_ "out of memory ends the run uncharged with 71" "a sanitizer needs the address space"
else
    case_ "out of memory ends the run uncharged with 71" starved
fi
plan_
