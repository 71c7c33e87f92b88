# shellcheck shell=sh
# lib.sh - what quickstart and tests/onednn3.sh share. Sourced by POSIX shells.

# packages LIST SECTION...: the names in these sections of .ci/packages, one a line.
packages()
{
    list=$1
    shift
    for section; do
        awk -v want="[$section]" '
            { sub(/[ \t]*#.*/, "") }
            /^\[/ { on = $0 == want; next }
            on && NF { print $1 }' "$list"
    done
}

# packages_missing NAME...: those that dpkg does not know as installed.
packages_missing()
{
    for name; do
        case $(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null) in
        installed) ;;
        *) echo "$name" ;;
        esac
    done
}

# tally LOG: "passed failed skipped" of a make run, from the summary that automake prints at
# the end of each make check (VERBOSE=1 shows the same numbers once more before it).
tally()
{
    awk '/^Testsuite summary/ { on = 1 }
         on && /^# (PASS|XFAIL): / { pass += $3 }
         on && /^# (FAIL|XPASS|ERROR): / { fail += $3 }
         on && /^# SKIP: / { skip += $3 }
         /^# ERROR: / { on = 0 }
         END { print pass + 0, fail + 0, skip + 0 }' "$1"
}

# failures LOG: the cases of a make run that failed, one a line, then what they said (make
# check VERBOSE=1 puts it into the log) or, where none did, the end of the log.
failures()
{
    if grep -E '^(FAIL|XPASS|ERROR): [^ ]+ ' "$1" | sort -u | grep .; then
        awk '/^not ok/ { printf "%s", said; print; on = 1; next }
             /^#/ { if (on) print; else said = said $0 "\n"; next }
             !/^FAIL: / { on = 0; said = "" }' "$1" | head -n 200 | sed 's/^/    /'
    else
        tail -n 40 "$1" | sed 's/^/    /'
    fi
}
