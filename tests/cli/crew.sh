#!/bin/bash
# --workers: several processes with one model; deaths, signals, bounds.
. "${CFGEN_SRCDIR:-.}/tests/cli/init.sh"

fill() { # FILE N
    cfgen-jobs init --db="$1" >/dev/null && seq 1 "$2" | sed 's/^/red apple number /' |
        cfgen-jobs add --db="$1" --format=text - >/dev/null
}
ask() { sqlite3 "$@"; }
children() { pgrep -P "$1"; }
some_images() { # DIR
    local i
    for i in $(seq 1 500); do
        [ -n "$(find "$1" -name '*.webp' 2>/dev/null | head -1)" ] && return 0
        sleep 0.02
    done
    echo "no image came"
    return 1
}
all_gone() { # PID...
    local i p left
    for i in $(seq 1 500); do
        left=0
        for p in "$@"; do
            [ -d "/proc/$p" ] && left=1
        done
        [ $left -eq 0 ] && return 0
        sleep 0.02
    done
    echo "still there: $*"
    return 1
}
given_back() { # FILE N: no lease, nothing charged, N jobs ready or done
    sound "$1" && [ "$(ask "$1" 'SELECT count(*) FROM lease')" -eq 0 ] &&
        [ "$(ask "$1" 'SELECT sum(attempts) + sum(crashes) FROM job WHERE state = 0')" -eq 0 ] &&
        [ "$(ask "$1" 'SELECT count(*) FROM job WHERE state IN (0, 2)')" -eq "$2" ]
}

one() {
    fill one.sqlite 300 && cfgen-batch --db=one.sqlite --output=one --quiet --threads=1 &&
        manifest one.sqlite >one.jsonl
}
case_ "one worker makes all" one
like_one() { manifest "$1.sqlite" >"$1.jsonl" && cmp one.jsonl "$1.jsonl" && diff -r one "$1"; }
two() {
    fill two.sqlite 300 && cfgen-batch --db=two.sqlite --output=two --workers=2 --threads=2 \
        --status-file=two.json 2>two.log || return 1
    cat two.log two.json
    [ "$(ask two.sqlite 'SELECT count(*) FROM worker')" -eq 2 ] &&
        [ "$(ask two.sqlite 'SELECT count(DISTINCT worker_id) FROM attempt')" -eq 2 ] &&
        [ "$(grep -c 'model loaded' two.log)" -eq 1 ] &&
        jq -e '.state == "ended" and .workers == 2 and .done == 300 and .total == 300 and .exit_status == 0' two.json
}
case_ "two workers share the work and load the model once" two
case_ "and make the same bytes" like_one two

killed_child() {
    local crew victim kids
    fill kid.sqlite 300
    cfgen-batch --db=kid.sqlite --output=kid --workers=2 --threads=2 --claim=4 2>kid.log &
    crew=$!
    some_images kid || return 1
    [ "$(ls "/proc/$crew/task" | wc -l)" -eq 1 ] || { echo "the parent has threads"; return 1; }
    kids=$(children $crew)
    victim=$(echo "$kids" | head -1)
    kill -9 "$victim"
    exits 0 wait $crew || { cat kid.log; return 1; }
    cat kid.log
    grep -q "worker died pid=$victim.*signal=9" kid.log &&
        [ "$(ask kid.sqlite 'SELECT count(*) FROM worker')" -eq 3 ] && sound kid.sqlite
}
case_ "a worker killed with -9 is replaced and its jobs are done" killed_child
case_ "and the bytes are those of one worker" like_one kid

killed_parent() {
    local crew kids
    fill par.sqlite 3000
    cfgen-batch --db=par.sqlite --output=par --workers=2 --threads=2 --quiet &
    crew=$!
    some_images par || return 1
    kids=$(children $crew)
    kill -9 $crew
    wait $crew 2>/dev/null
    # shellcheck disable=SC2086
    all_gone $kids && given_back par.sqlite 3000 &&
        [ "$(ask par.sqlite 'SELECT count(*) FROM job WHERE state = 0')" -gt 0 ]
}
case_ "workers whose parent is killed with -9 leave and give their jobs back" killed_parent

stopped() { # SIGNAL
    local crew kids
    fill "$1.sqlite" 3000
    cfgen-batch --db="$1.sqlite" --output="$1" --workers=2 --threads=2 --quiet &
    crew=$!
    some_images "$1" || return 1
    kids=$(children $crew)
    # To all at once, as a terminal or Slurm does.
    # shellcheck disable=SC2086
    kill -"$1" $crew $kids
    exits 75 wait $crew && all_gone $kids && given_back "$1.sqlite" 3000 &&
        [ -z "$(find . -maxdepth 1 -name '.cfgen-worker-*')" ]
}
case_ "SIGTERM to all of them stops in good order, 75" stopped TERM
to_parent() {
    local crew
    fill usr.sqlite 3000
    cfgen-batch --db=usr.sqlite --output=usr --workers=2 --threads=2 --quiet &
    crew=$!
    some_images usr || return 1
    kill -USR1 $crew
    exits 75 wait $crew && given_back usr.sqlite 3000
}
case_ "SIGUSR1 to the parent alone stops all, 75" to_parent

bounded() {
    fill max.sqlite 50 && cfgen-batch --db=max.sqlite --output=max --workers=2 --threads=2 --quiet --max-jobs=7 &&
        [ "$(ask max.sqlite 'SELECT count(*) FROM output')" -eq 7 ]
}
case_ "--max-jobs bounds all workers together" bounded
limited() {
    exits 75 cfgen-batch --db=max.sqlite --output=max --workers=2 --quiet --time-limit=0 &&
        [ "$(ask max.sqlite 'SELECT count(*) FROM output')" -eq 7 ]
}
case_ "--time-limit is that of all" limited
pinned() {
    local crew masks
    [ "$(nproc)" -ge 2 ] || return 0
    fill pin.sqlite 3000
    cfgen-batch --db=pin.sqlite --output=pin --workers=2 --threads=2 --quiet &
    crew=$!
    some_images pin || return 1
    masks=$(for p in $(children $crew); do grep Cpus_allowed_list "/proc/$p/status"; done)
    kill $crew
    exits 75 wait $crew || return 1
    echo "$masks"
    [ "$(echo "$masks" | sort -u | wc -l)" -eq 2 ]
}
case_ "each worker has processors of its own" pinned
case_ "a bad output directory is an error before any work" \
    says 'code=' 73 cfgen-batch --db=max.sqlite --output=no/where --workers=2
shard() { # all of a crew on one shard, and nobody else beside them
    cfgen-jobs init --db=s.sqlite && seq 1 40 | cfgen-jobs add --db=s.sqlite --format=text - &&
        cfgen-jobs plan --db=s.sqlite --shards=2 --out=plan.sqlite &&
        cfgen-batch --db=plan.sqlite --shard=0 --output=s --workers=2 --quiet &&
        cfgen-batch --db=plan.sqlite --shard=1 --output=s --workers=2 --quiet &&
        cfgen-jobs merge --db=s.sqlite plan-*.results.sqlite && sound s.sqlite &&
        [ "$(ask s.sqlite 'SELECT count(*) FROM output')" -eq 40 ]
}
case_ "--workers of one shard share it" shard
plan_
