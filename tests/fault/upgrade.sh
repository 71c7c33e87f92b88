#!/bin/bash
# Faults 11 and 24: a queue of an older version is migrated with a backup; one of the future, of
# another program, damaged or empty is refused and not written to.
. "${CFGEN_SRCDIR:-.}/tests/cli/init.sh"

unchanged() { # PATTERN STATUS FILE
    local before
    before=$(sha256sum <"$3")
    says "$1" "$2" cfgen-batch --db="$3" --output=img --quiet && [ "$(sha256sum <"$3")" = "$before" ] ||
        { echo "cfgen-batch --db=$3"; return 1; }
    says "$1" "$2" cfgen-jobs add --db="$3" --format=text /dev/null && [ "$(sha256sum <"$3")" = "$before" ] &&
        [ -z "$(find . -name "${3##*/}-*")" ]
}
future() {
    queue future.sqlite 'red apple' && sqlite3 future.sqlite 'PRAGMA user_version = 9000' && unchanged 'schema.*9' 78 future.sqlite &&
        says 'schema.*9' 78 cfgen-jobs status --db=future.sqlite
}
next_minor() { # may be read, not written
    queue minor.sqlite 'red apple' && sqlite3 minor.sqlite 'PRAGMA user_version = 1999' && unchanged 'schema' 78 minor.sqlite &&
        cfgen-jobs status --db=minor.sqlite >/dev/null
}
foreign() { sqlite3 foreign.sqlite 'CREATE TABLE t(x); INSERT INTO t VALUES(1)' && unchanged 'another program' 78 foreign.sqlite; }
no_database() { seq 1 5000 >text.sqlite && unchanged 'not an SQLite' 65 text.sqlite; }
zero() { : >zero.sqlite && unchanged 'empty' 65 zero.sqlite; }
missing() { says 'missing.sqlite' 66 cfgen-batch --db=missing.sqlite && ! [ -e missing.sqlite ]; }
damaged() { # pages of the middle overwritten
    cfgen-jobs init --db=d.sqlite >/dev/null && seq 1 3000 | cfgen-jobs add --db=d.sqlite --format=text - >/dev/null &&
        head -c 65536 /dev/urandom | dd of=d.sqlite bs=4096 seek=20 conv=notrunc 2>/dev/null || return 1
    exits 65 cfgen-jobs check --db=d.sqlite 2>/dev/null || return 1
    cfgen-batch --db=d.sqlite --output=img --quiet --max-jobs=1 2>d.log
    [ $? -eq 65 ] && grep -q d.sqlite d.log || { cat d.log; return 1; }
}
older() {
    sqlite3 old.sqlite <"$src/tests/data/queue-1000.sql" && [ "$(sqlite3 old.sqlite 'PRAGMA user_version')" -eq 1000 ] &&
        says 'cfgen-jobs migrate' 78 cfgen-jobs status --db=old.sqlite && [ "$(sqlite3 old.sqlite 'PRAGMA user_version')" -eq 1000 ] &&
        cfgen-batch --db=old.sqlite --output=img --quiet --max-jobs=1 && sound old.sqlite && cfgen-jobs check --db=old.sqlite &&
        [ "$(sqlite3 old.sqlite 'PRAGMA user_version')" -gt 1000 ] &&
        ls old.sqlite*.bak && [ "$(sqlite3 old.sqlite*.bak 'PRAGMA user_version')" -eq 1000 ] &&
        [ "$(sqlite3 old.sqlite*.bak 'SELECT count(*) FROM job')" -eq "$(sqlite3 old.sqlite 'SELECT count(*) FROM job')" ]
}
case_ "a queue of the future is refused and not written to" future
case_ "a queue one minor version ahead is read and not written to" next_minor
case_ "a database of another program is refused and not written to" foreign
case_ "a file that is no database is refused and not written to" no_database
case_ "an empty file is refused and not written to" zero
case_ "a missing queue is not made" missing
case_ "a damaged queue is refused by name" damaged
case_ "a queue of version 1.0 is migrated in place, with a backup" older
plan_
