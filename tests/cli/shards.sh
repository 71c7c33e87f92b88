#!/bin/sh
# cfgen-jobs plan and merge from the command line.
. "${CFGEN_SRCDIR:?}/tests/cli/jobs_test_lib.sh"
CFGEN_DB=q.db; export CFGEN_DB
is "init" run 0 init
printf 'one\ntwo\nthree\n' >p.txt
is "add" run 0 add --seeds=0..3 p.txt
is "plan" run 0 plan --shards=2 --out=plan.sqlite
is "it tells jobs, shards and their sizes" has out "12 jobs in 2 shards of 4 to 8 jobs: plan.sqlite"
is "and what to type next" has out "cfgen-batch --db=plan.sqlite --shard=auto"
is "a second plan of that name is 73" run 73 plan --shards=2 --out=plan.sqlite
for bad in --shards=0 --shards=x --shards=100001; do
    is "plan $bad is 64" run 64 plan "$bad" --out=x.sqlite
done
is "plan without --out is 64" run 64 plan --shards=2
is "plan without --shards is 64" run 64 plan --out=x.sqlite
is "a plan is read like a queue" run 0 status --db=plan.sqlite --json
is "its jobs are ready" has out '"ready":12'
is "but not written: 78" run 78 hold --db=plan.sqlite 1
is "merge of nothing is 64" run 64 merge
is "a plan is no result: 78" run 78 merge plan.sqlite
is "a missing result is 66" run 66 merge none.sqlite
echo nonsense >n.sqlite
is "no database: 65" run 65 merge n.sqlite
is "the total is told all the same" has out "total: 0 new"
is "as JSON" run 65 merge --json n.sqlite
is "one object a line" has out '{"files":0,"total":{"done":0,"present":0,'
is "the queue is sound" run 0 check
plan
