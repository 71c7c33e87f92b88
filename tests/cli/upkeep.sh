#!/bin/sh
# cfgen-jobs backup, prune, migrate and export to SQLite: nothing half, nothing lost.
. "${CFGEN_SRCDIR:?}/tests/cli/jobs_test_lib.sh"
command -v sqlite3 >/dev/null || { echo "1..0 # SKIP no sqlite3"; exit 0; }
CFGEN_DB=q.db; export CFGEN_DB
ask() { sqlite3 "${2:-q.db}" "$1"; }
# fill PROMPTS: a queue in the middle of its life, four jobs a prompt
fill() {
    rm -f q.db*
    "$jobs" init && sqlite3 -cmd "CREATE TEMP TABLE size AS SELECT $1 AS prompts;" q.db <"$CFGEN_SRCDIR/bench/queue_rows.sql" >/dev/null
}

fill 100
is "the queue to try on is sound" run 0 check
is "backup" run 0 backup b.db
is "the backup is a queue that is sound" run 0 check --db=b.db
is "with the same rows" sh -c '"$0" export --state=all >a.jsonl && "$0" export --db=b.db --state=all | cmp -s - a.jsonl' "$jobs"
is "in one file" test ! -e b.db-wal
is "and nothing else is left" sh -c '! ls | grep -q "^b\.db[.-]"'
is "the queue is not its own backup" run 64 backup ./q.db
is "a backup into a missing directory is 73" run 73 backup no/b.db
cp b.db before.db
dd if=/dev/urandom of=q.db bs=4096 seek=20 count=4 conv=notrunc 2>/dev/null
is "a damaged queue has no backup" sh -c '! "$0" backup b.db >out 2>err' "$jobs"
is "and the last one stays as it was" cmp -s b.db before.db

fill 100
sqlite3 q.db >writer.out 2>&1 <<'SQL' &
.timeout 20000
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5) SELECT i FROM n;
UPDATE job SET priority = 1;
UPDATE job SET priority = 2;
UPDATE job SET priority = 3;
SQL
is "backup while another writes" run 0 backup c.db
wait
is "is sound" run 0 check --db=c.db
is "and of one moment" test "$(ask 'SELECT count(DISTINCT priority) FROM job' c.db)" = 1

is "prune of nothing is 64" run 64 prune
is "a batch alone is 64" run 64 prune --batch=weeks
"$jobs" cancel --all >/dev/null
was=$(ask 'SELECT count(*) FROM job; SELECT count(*) FROM output; SELECT count(*) FROM attempt')
is "a dry run" run 0 prune --cancelled --done --attempts-older-than=0 --workers --dry-run
is "tells what would go" has out "would go: 40 attempts, 398 jobs (done ones with their outputs' rows; files stay)"
is "and changes nothing" test "$was" = "$(ask 'SELECT count(*) FROM job; SELECT count(*) FROM output; SELECT count(*) FROM attempt')"
is "prune history" run 0 prune --attempts-older-than=1
is "of jobs that ended" test "$(ask 'SELECT count(*) FROM attempt')" = 2
is "what runs and what is young stays" run 0 check
is "prune cancelled jobs of another batch" run 0 prune --cancelled --batch=none
is "takes none" has out "gone: 0 attempts, 0 jobs, 0 prompts"
is "prune done jobs" run 0 prune --done --batch=weeks
is "with their outputs' rows" test "$(ask 'SELECT count(*) FROM output')" = 0
is "the others stay" test "$(ask 'SELECT count(*) FROM job')" = 120
is "the tables agree" run 0 check
is "prune cancelled jobs" run 0 prune --cancelled --vacuum
is "only what runs stays" test "$(ask 'SELECT group_concat(DISTINCT state) FROM job')" = 1
is "with its prompt and the empty one" test "$(ask 'SELECT count(*) FROM prompt')" -le 3
is "the tables agree again" run 0 check
ask "UPDATE worker SET ended = 5; INSERT INTO worker(host, boot_id, pid, started, ended, build, cpu) VALUES('h', 'b', 1, 1, 2, '', '')"
is "prune workers" run 0 prune --workers
is "takes the one without jobs" has out "1 workers"

fill 10
is "export to SQLite" run 0 export --format=sqlite --output=e.db
is "has a row an image" test "$(ask 'SELECT count(*) FROM image' e.db)" = 28
is "with the values of the JSON" sh -c '"$0" export | sed -n 1p >one.json; sqlite3 e.db "SELECT json_object('"'id', id, 'key', key, 'user_key', user_key, 'prompt', prompt, 'negative', negative, 'seed', seed, 'width', width, 'height', height, 'recipe', json(recipe), 'path', path, 'file_sha256', file_sha256, 'pixel_sha256', pixel_sha256, 'bytes', bytes, 'offset', offset"') FROM image ORDER BY id LIMIT 1" | cmp -s - one.json' "$jobs"
is "and is sound" test "$(ask 'PRAGMA integrity_check' e.db)" = ok
is "export to SQLite without a file is 64" run 64 export --format=sqlite
is "export of a batch that is not there is empty" sh -c '"$0" export --batch=none >out && ! [ -s out ]' "$jobs"
is "export of a batch" sh -c '[ "$("$0" export --batch=weeks | wc -l)" -eq 28 ]' "$jobs"
is "list of a cause" sh -c '[ "$("$0" list --code=ENOMEM --json | grep -c "\"state\":\"failed\"")" -eq "$("$0" list --code=ENOMEM | wc -l)" ] && "$0" list --code=ENOMEM | grep -q failed' "$jobs"
is "list of a batch and state" sh -c '[ "$("$0" list --batch=weeks --state=running | wc -l)" -eq 2 ]' "$jobs"
ask "UPDATE output SET path = '00007.tar', offset = 512 WHERE job_id = 4"
is "show tells where in a tar" sh -c '"$0" show 4 | grep -A1 "00007.tar" | grep -q "byte 512 of that tar"' "$jobs"
is "migrate a queue of today" run 0 migrate
is "has nothing to do" has out "already"
is "migrate of a missing queue is 66" run 66 migrate --db=none.db
is "migrate with an operand is 64" run 64 migrate x
ask "DROP TRIGGER job_recovers; DROP TABLE failure; DROP TABLE cause; DROP TABLE tar; DROP INDEX job_batch; CREATE INDEX job_batch ON job(batch_id); PRAGMA user_version = 1000;"
is "status of an older queue tells what to do" sh -c '"$0" status >out 2>err; [ $? -eq 78 ] && grep -q "cfgen-jobs migrate" err' "$jobs"
is "migrate an older queue" run 0 migrate
is "says from what to what" has out "schema 1.0 is now 1.1"
is "the backup has the older schema" test "$(ask 'PRAGMA user_version' q.db.v1000.bak)" = 1000
is "the queue is sound" run 0 check
is "and knows the causes" sh -c '"$0" status --json | grep -q "\"EFORMAT\":"' "$jobs"

# killed COMMAND...: kill -9 as soon as it writes; true when a part is left. Whoever was
# done before is tried again.
killed() {
    for try in 1 2 3 4 5 6 7 8 9; do
        rm -f left*
        "$jobs" "$@" >out 2>err &
        until ls | grep -q '^left'; do kill -0 $! 2>/dev/null || break; done
        kill -9 $!
        wait $!
        ls | grep -q '^left\.part-' && return 0
    done 2>/dev/null
    return 1
}
fill 5000
is "kill -9 of a backup leaves a part" killed backup left
is "and no half copy" test ! -e left
is "kill -9 of an export leaves a part" killed export --output=left
is "and no half manifest" test ! -e left
is "kill -9 of an export to SQLite leaves a part" killed export --format=sqlite --output=left
is "and no half database" test ! -e left
is "kill -9 of a plan leaves a part" killed plan --shards=2 --out=left
is "and no half plan" test ! -e left
is "the plan is made when asked for again" run 0 plan --shards=2 --out=left
is "the queue is sound after it all" run 0 check
rm -f left.part-*
is "what the manual says to remove was all" sh -c '[ "$(ls | grep -c "^left")" -eq 1 ]'
plan
