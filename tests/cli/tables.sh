#!/bin/sh
# cfgen-jobs(5): it names every table and column, and its queries run.
. "${CFGEN_SRCDIR:?}/tests/cli/jobs_test_lib.sh"
command -v sqlite3 >/dev/null || { echo "1..0 # SKIP no sqlite3"; exit 0; }
page=$CFGEN_SRCDIR/man/cfgen-jobs.5
"$jobs" init --db=q.db
sqlite3 -cmd "CREATE TEMP TABLE size AS SELECT 10 AS prompts;" q.db <"$CFGEN_SRCDIR/bench/queue_rows.sql" >/dev/null
sqlite3 q.db "UPDATE output SET pixel_sha256 = 'same' WHERE job_id < 10"

# section TABLE: the words of its part of the page that are set as literals
section() {
    sed -n "/^\.Ss $1\$/,/^\.S[sh] /p" "$page" | sed -n 's/^\.\(It \)\{0,1\}Li //p' | tr -s ' ,' '\n\n' | sort -u
}
sqlite3 q.db "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name" >tables
is "there are tables" test "$(wc -l <tables)" -ge 15
while read -r table; do
    sqlite3 q.db "SELECT name FROM pragma_table_info('$table')" | sort >columns
    section "$table" >words
    is "the page tells every column of $table" sh -c 'comm -23 columns words >out; ! [ -s out ]'
done <tables
version=$(sqlite3 q.db 'PRAGMA user_version')
is "the page tells this version" grep -q "^$version\.\$" "$page"

sed -n '/^\.Sh EXAMPLES/,/^\.Sh SEE/p' "$page" | sed -n '/^\.Bd/,/^\.Ed/p' | grep -v '^\.' | tr '\n' ' ' | sed 's/; */;\n/g' >queries
is "there are queries" test "$(wc -l <queries)" -ge 6
while IFS= read -r query; do
    is "it has an answer: $query" sh -c 'sqlite3 q.db "$0" >out 2>err && [ -s out ] && ! [ -s err ]' "$query"
done <queries
plan
