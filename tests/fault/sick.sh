#!/bin/bash
# Fault 17: one worker on a sick node fails at every image; its breaker stops it, the other ends
# the work, and no job fails for good.
. "${CFGEN_SRCDIR:-.}/tests/cli/init.sh"
many() { seq 1 120 | sed 's/^/octopus number /'; }

sick() {
    local bad
    cfgen-jobs init --db=q.sqlite >/dev/null && many | cfgen-jobs add --db=q.sqlite --format=text - >/dev/null || return 1
    cp -r "$shipped" model && chmod -R u+w model || return 1
    # Its images cannot be written: an output that is a dangling link's directory.
    mkdir sickout && for d in $(printf '%02x ' $(seq 0 255)); do : >"sickout/$d"; done
    cfgen-batch --db=q.sqlite --output=sickout --quiet --threads=1 2>sick.log
    bad=$?
    [ $bad -eq 73 ] || [ $bad -eq 70 ] || { echo "status $bad"; cat sick.log; return 1; }
    sound q.sqlite && [ "$(sqlite3 q.sqlite 'SELECT count(*) FROM job WHERE state = 3')" -eq 0 ] &&
        cfgen-batch --db=q.sqlite --output=img --quiet --threads=1 --backoff=1 && sound q.sqlite &&
        [ "$(sqlite3 q.sqlite 'SELECT count(*) FROM job WHERE state = 2')" -eq 120 ]
}
case_ "a worker whose output is sick stops, and the others end the work" sick

no_model() { # the jobs name a model that one node does not have
    cfgen-jobs init --db=m.sqlite >/dev/null && many | head -8 | cfgen-jobs add --db=m.sqlite --format=text --model="$shipped_name" - >/dev/null &&
        CFGEN_MODEL_PATH=/nowhere says "$shipped_name.*CFGEN_MODEL_PATH" 70 \
            cfgen-batch --db=m.sqlite --output=m --quiet --model="$shipped" --backoff=1 &&
        sound m.sqlite && [ "$(sqlite3 m.sqlite 'SELECT count(*) FROM job WHERE state = 3')" -eq 0 ] &&
        cfgen-batch --db=m.sqlite --output=m --quiet && sound m.sqlite &&
        [ "$(sqlite3 m.sqlite 'SELECT count(*) FROM job WHERE state = 2')" -eq 8 ]
}
case_ "a worker without the model of the jobs stops, and another one ends the work" no_model
plan_
