#!/bin/bash
# Fault 14: the wall clock jumps by a day or a year while work goes on: nobody is taken for
# dead, and no delay becomes endless. The monotonic clock is left alone.
. "${CFGEN_SRCDIR:-.}/tests/cli/init.sh"
command -v faketime >/dev/null || { echo "1..0 # SKIP no faketime"; exit 0; }
if nm -C "$bld/cfgen-batch" 2>/dev/null | grep -qE '__(a|ub)san_'; then
    echo "1..0 # SKIP a sanitizer does not go with a preloaded library"
    exit 0
fi
export FAKETIME_DONT_FAKE_MONOTONIC=1 DONT_FAKE_MONOTONIC=1
many() { seq 1 300 | sed 's/^/tiger face number /'; }

jumps() { # OFFSET: a worker under another clock beside one at work
    local db=j.sqlite pid i
    rm -rf j.sqlite* j && cfgen-jobs init --db=$db >/dev/null && many | cfgen-jobs add --db=$db --format=text - >/dev/null || return 1
    cfgen-batch --db=$db --output=j --quiet --threads=1 &
    pid=$!
    for i in $(seq 1 500); do
        [ "$(sqlite3 $db "SELECT count(*) FROM output" 2>/dev/null)" != 0 ] && break
        sleep 0.01
    done
    faketime -f "$1" cfgen-batch --db=$db --output=j --quiet --threads=1 --max-jobs=40 || { kill $pid; return 1; }
    wait $pid && sound $db &&
        [ "$(sqlite3 $db 'SELECT count(*) FROM job WHERE state = 2 AND crashes = 0 AND releases = 0 AND attempts = 0')" -eq 300 ]
}
# A job that waits for another try, seen under a clock that was set back or forward: it waits
# one backoff at most.
waits() { # OFFSET
    local db=w.sqlite
    rm -rf w.sqlite* w && queue $db 'penguin' 'banana' && sqlite3 $db "
        UPDATE job SET state = 4, attempts = 1 WHERE id = 1;
        INSERT INTO delay(job_id, until, seconds) VALUES(1, 1000 * strftime('%s', 'now') + 1000, 1)" || return 1
    timeout 30 faketime -f "$1" cfgen-batch --db=$db --output=w --quiet && sound $db &&
        [ "$(manifest $db | wc -l)" -eq 2 ]
}
for offset in -1d +1d -365d +365d; do
    case_ "a clock that is $offset away: no worker is taken for dead" jumps $offset
    case_ "a clock that is $offset away: a delay is one backoff at most" waits $offset
done
plan_
