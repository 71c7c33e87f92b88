#!/bin/bash
# Records that were lost: a result file deleted, an older copy put in its place, a queue
# restored from a backup, while the tars went on. What was merged stays where it lies.
. "${CFGEN_SRCDIR:-.}/tests/cli/init.sh"
export CFGEN_DB=q.db

cfgen-jobs init >/dev/null && seq -f 'red apple number %g' 40 | cfgen-jobs add --format=text - >/dev/null &&
    cfgen-jobs plan --shards=2 --out=plan.db >/dev/null || exit 99
work() { cfgen-batch --db=plan.db --shard=0 --layout=tar --samples-per-shard=8 --threads=2 --quiet "$@"; }
merged() { cfgen-jobs merge plan-00000.results.sqlite && sound q.db && cfgen-jobs verify --deep; }

half() { work --max-jobs=12 && cp plan-00000.results.sqlite half && merged && (cd images && sha256sum *.tar) >sums; }
case_ "half a shard is merged" half
alone() { rm plan-00000.results.sqlite && work && (cd images && sha256sum -c ../sums) && merged; }
case_ "its results are deleted: made again in tars of other numbers" alone
older() { cp half plan-00000.results.sqlite && work && (cd images && sha256sum -c ../sums) && merged; }
case_ "an older copy of the results goes on beside tars that it does not know" older

farther() { # the tar that the copy knows as open was finished since
    cfgen-batch --layout=tar --samples-per-shard=30 --max-jobs=10 --quiet &&
        cfgen-jobs backup old.db && cfgen-batch --samples-per-shard=30 --quiet && sha256sum images/*.tar >all &&
        [ "$(wc -l <all)" -eq 2 ] && rm -f q.db* && cp old.db q.db && cfgen-batch --samples-per-shard=30 --quiet &&
        sha256sum -c all && sound q.db && cfgen-jobs status --exit-code &&
        exits 1 cfgen-jobs verify --deep >said && grep '^orphan *00001.tar: ' said && grep -w '1 findings' said
}
rm -rf images plan* && rm -f q.db* && cfgen-jobs init >/dev/null &&
    seq -f 'red apple number %g' 40 | cfgen-jobs add --format=text - >/dev/null
case_ "a queue restored from a backup goes on beside the tars that were finished since" farther
plan_
