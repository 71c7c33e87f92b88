#!/bin/bash
# Fault 1: kill -9 just before every change of the disk that a run makes, in turn: every write,
# sync, rename, unlink, truncation and new file. The next run ends as an undisturbed one.
# CFGEN_FAULT_EVERY=1 takes every place, a number N every Nth.
. "${CFGEN_SRCDIR:-.}/tests/cli/init.sh"
. "$src/tests/fault/recorded.sh"

killed() { # NAME OPTION...
    local at name=$1 got kills=0 every=${CFGEN_FAULT_EVERY:-19}
    shift
    counted "$name" || return 1
    for at in $(seq 1 "$every" "$changes"); do
        rm -rf state && cp -a "$name.before" state || return 1
        LD_PRELOAD=$record RECORD_LOG=/dev/null RECORD_ROOT=state RECORD_KILL=$at \
            cfgen-batch --db=state/q.sqlite --quiet --claim=3 "$@" 2>err.log
        got=$?
        [ $got -eq 137 ] && kills=$((kills + 1))
        [ $got -eq 137 ] || [ $got -eq 0 ] || { echo "status $got at change $at"; cat err.log; return 1; }
        whole state && goes_on "$name" state "$@" && no_temporaries state &&
            diff -r "$name/images" state/images ||
            { echo "after kill -9 at change $at"; return 1; }
    done 2>/dev/null
    echo "$kills kills"
    [ "$kills" -ge $((changes / every / 2)) ]
}

for layout in files tar; do
    case_ "layout $layout: an undisturbed run is recorded" recorded $layout --layout=$layout
    case_ "layout $layout: kill -9 at any change of the disk costs nothing" killed $layout --layout=$layout
done
plan_
