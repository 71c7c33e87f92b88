#!/bin/bash
# Fault 3: the power goes at every sync of a run, and the disk keeps what it must, or more.
# No done row without a whole file, whatever it kept; and the next run ends the work.
. "${CFGEN_SRCDIR:-.}/tests/cli/init.sh"
. "$src/tests/fault/recorded.sh"

step=${CFGEN_FAULT_EVERY:-3} # in make check a third of the cuts
every_cut() { # NAME MODEL
    local k done=0
    counted "$1" || return 1
    for k in $(seq 0 "$step" "$syncs"); do
        rm -rf state
        "$replay" "$1.log" "$1.before" "$1.list" "$k" "$2" state || return 1
        whole state || { echo "power cut before sync $((k + 1)), $2"; return 1; }
        done=$((done + $(wc -l <rows)))
    done
    echo "$done done rows looked at"
    [ "$done" -gt 0 ]
}

ends() { # NAME EVERY OPTION...: after some of the cuts the next run ends the work
    local k name=$1 every=$2
    shift 2
    counted "$name" || return 1
    for k in $(seq 1 "$every" "$syncs"); do
        rm -rf state
        "$replay" "$name.log" "$name.before" "$name.list" "$k" torn state && goes_on "$name" state "$@" &&
            diff -r -x '.tmp-*' "$name/images" state/images ||
            { echo "power cut before sync $((k + 1))"; return 1; }
    done
}
careless() { ! every_cut "$1" careless >careless.log && grep 'not whole' careless.log; }

layout() { # NAME OPTION...
    local model
    case_ "layout $1: an undisturbed run is recorded" recorded "$@"
    for model in synced names torn; do
        case_ "layout $1, what is left is '$model': no done row without a whole file" every_cut "$1" $model
    done
    case_ "layout $1: the next run ends with the same files" ends "$1" "${CFGEN_FAULT_EVERY:-7}" "${@:2}"
}
layout files --layout=files
layout tar --layout=tar
case_ "images that nobody synced would be noticed" careless files
plan_
