#!/bin/bash
# Faults 4 and 5: a full disk, a quota, a read-only place. Nothing is charged, no temporary
# file stays, and the same command goes on when there is room. tests/cli/faults.sh injects the
# same errors call by call.
. "${CFGEN_SRCDIR:-.}/tests/cli/init.sh"
charged() { sqlite3 "$1" 'SELECT sum(attempts) + sum(crashes) FROM job'; }
many() { seq 1 60 | sed 's/^/green leaf number /'; }

full() { # LAYOUT
    local st
    mkdir -p small && mount -t tmpfs -o size=64k none small || return 1
    rm -f q.sqlite* && cfgen-jobs init --db=q.sqlite >/dev/null && many | cfgen-jobs add --db=q.sqlite --format=text - >/dev/null &&
        says 'ENOSPC.*remedy=' 74 cfgen-batch --db=q.sqlite --output=small --layout="$1" --quiet &&
        sound q.sqlite && [ "$(charged q.sqlite)" -eq 0 ] && no_temporaries small &&
        mount -o remount,size=4m small && cfgen-batch --db=q.sqlite --output=small --layout="$1" --quiet &&
        sound q.sqlite && [ "$(manifest q.sqlite | wc -l)" -eq 60 ]
    st=$?
    umount small
    return $st
}
full_database() {
    local st
    mkdir -p small && mount -t tmpfs -o size=3m none small || return 1
    cfgen-jobs init --db=small/q.sqlite >/dev/null && many | cfgen-jobs add --db=small/q.sqlite --format=text - >/dev/null &&
        { head -c 3m /dev/zero >small/filler 2>/dev/null; true; } &&
        says 'q.sqlite' 74 cfgen-batch --db=small/q.sqlite --output=img --quiet && rm small/filler &&
        sound small/q.sqlite && [ "$(charged small/q.sqlite)" -eq 0 ] &&
        cfgen-batch --db=small/q.sqlite --output=img --quiet && sound small/q.sqlite &&
        [ "$(manifest small/q.sqlite | wc -l)" -eq 60 ]
    st=$?
    umount small
    return $st
}
read_only() { # mounted so
    local st
    mkdir -p ro && mount -t tmpfs -o size=1m,ro none ro || return 1
    rm -f r.sqlite* && queue r.sqlite 'red apple' && says 'ro' 77 cfgen-batch --db=r.sqlite --output=ro --quiet &&
        [ "$(sqlite3 r.sqlite 'SELECT count(*) FROM attempt')" -eq 0 ]
    st=$?
    umount ro
    return $st
}
can_mount() { mkdir -p probe && mount -t tmpfs -o size=64k none probe 2>/dev/null && umount probe; }
if can_mount; then
    for layout in files tar; do
        case_ "a full disk under the images stops the run uncharged (layout $layout)" full $layout
    done
    case_ "a full disk under the queue stops the run uncharged" full_database
    case_ "a place that is mounted read-only is told before any claim" read_only
else
    skip_ "full and read-only file systems" "may not mount one here"
fi

unprivileged() { # STATUS WHICH: a directory without write permission, as another user
    local st
    rm -rf d && mkdir d && queue d/q.sqlite 'red apple' && mkdir d/img && chmod -R a+rwX d && chmod a-w "d/$2" || return 1
    chmod 755 . # mktemp made it private
    says '.' "$1" setpriv --reuid=65534 --regid=65534 --clear-groups env CFGEN_MODEL_PATH="$CFGEN_MODEL_PATH" \
        "$bld/cfgen-batch" --db=d/q.sqlite --output=d/img --quiet
    st=$?
    chmod -R u+w d
    [ $st -eq 0 ] && sound d/q.sqlite && [ "$(sqlite3 d/q.sqlite 'SELECT count(*) FROM attempt')" -eq 0 ]
}
reachable() { chmod 755 . && setpriv --reuid=65534 --regid=65534 --clear-groups "$bld/cfgen-batch" --version >/dev/null 2>&1 &&
    setpriv --reuid=65534 --regid=65534 --clear-groups test -r "$shipped/model.json"; }
if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null && reachable; then
    case_ "an output directory without permission is told before any claim" unprivileged 77 img
    case_ "a database directory without permission is told before any claim" unprivileged 77 .
else
    skip_ "directories without permission" "needs root, and a build tree that others may read"
fi
plan_
