#!/bin/sh
# cfgen-jobs status: what it tells of a queue in the middle of its life.
. "${CFGEN_SRCDIR:?}/tests/cli/jobs_test_lib.sh"
command -v sqlite3 >/dev/null || { echo "1..0 # SKIP no sqlite3"; exit 0; }
CFGEN_DB="it's q.db"; export CFGEN_DB
"$jobs" init
is "an empty queue" run 0 status --exit-code
is "tells no speed" sh -c '! grep -q images/min out'
is "nor a time left" sh -c '! grep -q "^left" out'
sqlite3 -cmd "CREATE TEMP TABLE size AS SELECT 2500 AS prompts;" "$CFGEN_DB" <"$CFGEN_SRCDIR/bench/queue_rows.sql" >/dev/null
is "work is left: 75" run 75 status --exit-code
is "counts" sh -c 'grep -q "^ready  *1998$" out && grep -q "^running  *2$" out && grep -q "^done  *7000$" out && grep -q "^failed  *1000$" out && grep -q "^total  *10000$" out'
is "the rate of the last ten minutes" sh -c 'grep -q "^rate  *[56][0-9][0-9]\.[0-9]* images/min in the last ten minutes" out'
is "the time left with a range" grep -q '^left  *3 min (. min to . min)$' out
is "stages, the slowest first" sh -c 'grep "ms " out | sed "s/.* ms //" | tr "\n" ";" | grep -q "^generate, the slowest;decode;encode;webp;$"'
is "the commonest cause first" grep -q '^failures  *666 EFORMAT' out
is "each with its command" sh -c 'sed -n "s/^[a-z ]* [0-9]* E[A-Z]*: //p" out | sort >commands; [ "$(wc -l <commands)" -eq 2 ]'
is "workers of other hosts tell their beat" grep -q ' farther pid 12 since 1970-01-01T00:00:01Z, 1 jobs, of another host: beat 0$' out
PATH=${CFGEN_BUILDDIR}:$PATH; export PATH
is "the commands can be pasted" sh -c 'while read -r line; do (eval "$line") || exit 1; done <commands >out 2>err; grep -q "^666 jobs" out && grep -q "^334 jobs" out'
is "then nothing has failed" sh -c '"$0" status --json | grep -q "\"failed\":0.*\"failures\":{}"' "$jobs"
host=$(hostname)
exec 9>held.lock
flock 9
sqlite3 "$CFGEN_DB" "INSERT INTO worker(host, boot_id, pid, started, lock_path, build, cpu) VALUES
  ('$host', '$(cat /proc/sys/kernel/random/boot_id)', 21, 1, '$tmp/held.lock', '', ''),
  ('$host', '$(cat /proc/sys/kernel/random/boot_id)', 22, 1, '$tmp/gone.lock', '', ''),
  ('$host', 'another', 23, 1, '$tmp/held.lock', '', '')"
is "status as JSON" run 0 status --json
is "a worker of this host that holds its lock lives" has out '"pid":21,"since_ms":1,"jobs":0,"beat":0,"life":"local"'
is "one without its lock is gone" has out '"pid":22,"since_ms":1,"jobs":0,"beat":0,"life":"gone"'
is "one of another boot too" has out '"pid":23,"since_ms":1,"jobs":0,"beat":0,"life":"gone"'
sqlite3 "$CFGEN_DB" "UPDATE output SET stage_ms = 'no JSON' WHERE job_id % 2; UPDATE output SET stage_ms = '{\"x\":\"y\"}' WHERE job_id % 3 = 0"
is "stages that are none count for nothing" run 0 status
is "the others still do" grep -q 'generate, the slowest' out
sqlite3 "$CFGEN_DB" "DELETE FROM lease; DELETE FROM attempt; UPDATE job SET state = 5 WHERE state <> 2"
is "all ended well: 0" run 0 status --exit-code
sqlite3 "$CFGEN_DB" "UPDATE job SET state = 3 WHERE id = 1; INSERT INTO failure VALUES(1, 'EIO', 'x')"
is "all ended, one failed: 1" run 1 status --exit-code
plan
