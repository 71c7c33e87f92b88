#!/bin/bash
# Told to stop, the worker gives its jobs back uncharged and says 75.
. "${CFGEN_SRCDIR:-.}/tests/cli/init.sh"

many() { seq 1 400 | sed 's/^/red apple number /'; }

stop_with() { # SIGNAL
    local db=$1.sqlite pid i start end
    cfgen-jobs init --db="$db" && many | cfgen-jobs add --db="$db" --format=text - || return 1
    cfgen-batch --db="$db" --output="$1" --quiet --claim=16 &
    pid=$!
    for i in $(seq 1 500); do
        [ -n "$(find "$1" -name '*.webp' 2>/dev/null | head -1)" ] && break
        sleep 0.02
    done
    start=$(date +%s%N)
    kill -"$1" $pid
    exits 75 wait $pid || return 1
    end=$(date +%s%N)
    echo "stopped after $(((end - start) / 1000000)) ms"
    sound "$db" && no_temporaries "$1" && [ "$(sqlite3 "$db" 'SELECT count(*) FROM lease')" -eq 0 ] &&
        [ "$(sqlite3 "$db" 'SELECT count(*) FROM job WHERE state IN (0,2)')" -eq 400 ] &&
        [ "$(sqlite3 "$db" 'SELECT coalesce(sum(crashes),0) FROM job')" -eq 0 ] &&
        [ "$(sqlite3 "$db" 'SELECT count(*) FROM job WHERE state=0 AND attempts>0')" -eq 0 ] &&
        [ -z "$(find . -maxdepth 1 -name '.cfgen-worker-*')" ]
}
case_ "SIGTERM stops in good order" stop_with TERM
case_ "SIGINT stops in good order" stop_with INT
case_ "SIGUSR1 stops in good order" stop_with USR1

resumes() {
    cfgen-batch --db=TERM.sqlite --output=TERM --quiet --max-jobs=5 &&
        [ "$(sqlite3 TERM.sqlite 'SELECT count(*) FROM lease')" -eq 0 ]
}
case_ "the same command goes on where it stopped" resumes

nohup_kept() {
    queue h.sqlite 'red apple' 'octopus' || return 1
    (trap '' HUP; exec cfgen-batch --db=h.sqlite --output=h --quiet) &
    local pid=$!
    sleep 0.05
    kill -HUP $pid
    wait $pid
}
case_ "SIGHUP stays ignored where it was ignored at the start" nohup_kept

told() {
    queue p.sqlite 'red apple' || return 1
    many | cfgen-jobs add --db=p.sqlite --format=text - >/dev/null || return 1
    cfgen-batch --db=p.sqlite --output=p --max-jobs=200 2>p.log &
    local pid=$! i
    for i in $(seq 1 500); do
        [ -n "$(find p -name '*.webp' 2>/dev/null | head -1)" ] && break
        sleep 0.02
    done
    kill -USR2 $pid
    wait $pid && grep -q 'progress .*done=' p.log &&
        grep -Eq 'stages encode_ms=[0-9.]+ generate_ms=[0-9.]+ .*row_ms=' p.log
}
case_ "SIGUSR2 reports progress and what the stages take" told

cron() { # no terminal, no environment, closed standard streams
    queue c.sqlite 'banana' || return 1
    env -i CFGEN_MODEL_PATH="$CFGEN_MODEL_PATH" "$bld/cfgen-batch" --db=c.sqlite --output=c --quiet <&- >&- 2>&- &&
        sound c.sqlite && [ "$(find c -name '*.webp' | wc -l)" -eq 1 ]
}
case_ "a bare environment with closed streams works" cron
plan_
