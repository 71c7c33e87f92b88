#!/bin/bash
# Fault 20: streams that are closed or full, no terminal, no HOME, cron's environment: the work
# is done, or the error is clean.
. "${CFGEN_SRCDIR:-.}/tests/cli/init.sh"
n=0
fresh() { n=$((n + 1)); queue "q$n.sqlite" 'red apple' 'octopus'; }
done_() { sound "q$n.sqlite" && [ "$(manifest "q$n.sqlite" | wc -l)" -eq 2 ]; }

closed() { fresh && cfgen-batch --db=q$n.sqlite --output=o$n <&- >&- 2>&- && done_; }
no_stdin() { fresh && cfgen-batch --db=q$n.sqlite --output=o$n <&- && done_; }
full() { fresh && cfgen-batch --db=q$n.sqlite --output=o$n --verbose >/dev/full 2>/dev/full && done_; }
broken() { fresh && (cfgen-batch --db=q$n.sqlite --output=o$n --verbose 2>&1; echo $? >status) | true; [ "$(cat status)" = 0 ] && done_; }
# Never a 0 for words that reached nobody.
told_nobody() {
    local cmd
    fresh || return 1
    for cmd in "status --db=q$n.sqlite" "list --db=q$n.sqlite" "export --db=q$n.sqlite --state=all" "--help" "--version"; do
        # shellcheck disable=SC2086 # words
        exits 74 cfgen-jobs $cmd >/dev/full 2>/dev/null || { echo "$cmd"; return 1; }
        cfgen-jobs $cmd >&- 2>/dev/null && { echo "closed: $cmd"; return 1; }
    done
    return 0
}
cron() {
    fresh && env -i PATH=/usr/bin:/bin SHELL=/bin/sh LOGNAME=nobody CFGEN_MODEL_PATH="$CFGEN_MODEL_PATH" \
        /bin/sh -c "cd / && umask 077 && exec '$bld/cfgen-batch' --db='$PWD/q$n.sqlite' --output='$PWD/o$n' --quiet" >cron.mail 2>&1 </dev/null &&
        done_ && ! [ -s cron.mail ] && [ -z "$(find "o$n" -type f -perm /077)" ]
}
bare() { fresh && env -i CFGEN_MODEL_PATH="$CFGEN_MODEL_PATH" "$bld/cfgen-batch" --db=q$n.sqlite --output=o$n && done_; }
no_tmp() { fresh && TMPDIR=/nowhere HOME=/nowhere cfgen-batch --db=q$n.sqlite --output=o$n --quiet && done_; }
case_ "all streams closed" closed
case_ "standard input closed" no_stdin
case_ "a full device for all that is said" full
case_ "a reader that went away" broken
case_ "cfgen-jobs never ends with 0 when its words reached nobody" told_nobody
case_ "cron's environment: no word, files as umask says" cron
case_ "an empty environment" bare
case_ "no HOME and no temporary directory" no_tmp
plan_
