#!/bin/sh
# cfgen-jobs: help, wrong calls, exit statuses, broken outputs.
. "${CFGEN_SRCDIR:?}/tests/cli/jobs_test_lib.sh"

is "--help goes to stdout with status 0" run 0 --help
is "--help tells all commands" sh -c 'for c in init add status list show retry cancel hold release reap check export; do grep -q "^  $c " out || exit 1; done; ! [ -s err ]'
for c in $(sed -n 's/^  \([a-z]*\) .*/\1/p' out); do
    is "$c --help goes to stdout with status 0" sh -c '"$0" '"$c"' --help >out 2>err && [ -s out ] && ! [ -s err ]' "$jobs"
    is "$c refuses an unknown option with 64 and a hint" sh -c '"$0" '"$c"' --nonsense >out 2>err; [ $? -eq 64 ] && grep -q "'"$c"' --help" err && grep -q -- --nonsense err' "$jobs"
    is "$c without a queue is 64" run 64 "$c" x
done
is "--version goes to stdout with status 0" run 0 --version
is "an unknown command is 64" run 64 frobnicate
is "no command is 64" run 64
is "an unknown short option is 64" run 64 list -Z
is "an option's value is missing: 64" run 64 list --limit
is "a value that is no number is 64" run 64 list --db=q.db --limit=many
is "a missing queue is 66" run 66 status --db=missing.db
is "and it is not made" test ! -e missing.db
is "init makes a queue" run 0 init --db=q.db
is "init leaves a queue as it is" run 0 init --db=q.db
is "CFGEN_DB names the queue" sh -c 'CFGEN_DB=q.db "$0" status >out 2>err' "$jobs"
is "a surplus operand is 64" run 64 status --db=q.db x
: >empty.db
is "a file of zero bytes is 65" run 65 add --db=empty.db - </dev/null
echo "this is no database, not at all, but a text" >text.db
cp text.db before
is "a file that is no database is 65" run 65 init --db=text.db
is "and it is not touched" cmp -s text.db before
is "a missing import file is 66" run 66 add --db=q.db nothing.txt
is "a directory as import file is 65" run 65 add --db=q.db .
is "a job that is not there is 66" run 66 show --db=q.db 7
is "an export into a missing directory is 73" run 73 export --db=q.db -o no/where
"$jobs" status --db=q.db >/dev/full 2>err
is "a full standard output is 74" test $? -eq 74
"$jobs" status --db=q.db >&- 2>err
is "a closed standard output is 74" test $? -eq 74
echo x >one.txt
"$jobs" add --db=q.db one.txt >&- 2>&- <&-
is "closed standard files never reach the queue" run 0 status --db=q.db --json
is "and the job is there" has out '"ready":1'
is "works in an empty environment" sh -c 'env -i "$0" list --db=q.db >out 2>err' "$jobs"
plan
