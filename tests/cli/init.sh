# init.sh - what every command-line test begins with; sourced by bash.
#
# Gives: a fresh directory that is the working directory and goes at exit; the programs of
# the build on PATH; a small model under the name of the shipped one; case_ NAME COMMAND...,
# which prints one TAP line.
set -u
src=${CFGEN_SRCDIR:-$(cd "$(dirname "$0")/../.." && pwd)}
bld=${CFGEN_BUILDDIR:-$src/build}
export PATH="$bld:$bld/tests:$PATH"
export CFGEN_MODEL_PATH="$src/tests/models" # see the MODEL_CARD there
shipped=$(dirname "$src"/tests/models/*/model.json)
shipped_name=$(basename "$shipped")
unset CFGEN_DB CFGEN_MODEL OMP_NUM_THREADS SLURM_CPUS_PER_TASK SOURCE_DATE_EPOCH
tmp=$(mktemp -d "${TMPDIR:-/tmp}/cfgen-test.XXXXXX") || exit 99
cleanup() { :; }
trap 'cleanup; cd /; rm -rf "$tmp"' EXIT
cd "$tmp" || exit 99
cases=0

# case_ NAME COMMAND [ARG...]: passes when the command exits 0; its output is shown if not.
case_() {
    local name=$1
    shift
    cases=$((cases + 1))
    if "$@" >case.log 2>&1; then
        echo "ok $cases - $name"
    else
        echo "not ok $cases - $name"
        sed 's/^/# /' case.log | tail -40
    fi
}
skip_() { # NAME REASON
    cases=$((cases + 1))
    echo "ok $cases - $1 # SKIP $2"
}
plan_() { echo "1..$cases"; }
# Are the programs built with sanitizers?
sanitized() { nm -C "$bld/cfgen-batch" 2>/dev/null | grep -qE '__(a|ub)san_'; }

# exits WANT COMMAND...: the command ends with this status.
exits() {
    local want=$1 got
    shift
    "$@"
    got=$?
    [ "$got" -eq "$want" ] || { echo "exit status $got, expected $want: $*"; return 1; }
}

# says PATTERN STATUS COMMAND...: ends with the status, and stderr matches the pattern.
says() {
    local pattern=$1 want=$2
    shift 2
    exits "$want" "$@" 2>said.log || { cat said.log; return 1; }
    grep -qE -- "$pattern" said.log || { echo "no /$pattern/ in:"; cat said.log; return 1; }
}

# ended SIGNAL PATTERN COMMAND...: the signal, sent when a file that matches the pattern is
# there, ends the command as it ends any; stays until then in the background.
ended() {
    local sig=$1 until=$2 i
    shift 2
    "$@" >ended.log 2>&1 &
    for i in $(seq 1 600); do
        compgen -G "$until" >/dev/null && break
        sleep 0.02
    done
    kill -"$sig" $! 2>/dev/null
    wait $!
    i=$?
    [ "$i" -eq $((128 + $(kill -l "$sig"))) ] || { echo "exit status $i after SIG$sig: $*"; cat ended.log; return 1; }
}

# The four invariants of a queue, and a sound database.
sound() {
    local db=$1 bad
    bad=$(sqlite3 "$db" "
        SELECT 'running without lease', id FROM job WHERE state=1 AND id NOT IN (SELECT job_id FROM lease)
        UNION ALL SELECT 'lease without running', job_id FROM lease WHERE job_id NOT IN (SELECT id FROM job WHERE state=1)
        UNION ALL SELECT 'done without output', id FROM job WHERE state=2 AND id NOT IN (SELECT job_id FROM output)
        UNION ALL SELECT 'output without done', job_id FROM output WHERE job_id NOT IN (SELECT id FROM job WHERE state=2)
        UNION ALL SELECT integrity_check, 0 FROM pragma_integrity_check WHERE integrity_check <> 'ok'") || return 1
    [ -z "$bad" ] || { echo "$bad"; return 1; }
}

no_temporaries() { # DIR
    local left
    left=$(find "$1" -name '.tmp-*' 2>/dev/null)
    [ -z "$left" ] || { echo "left: $left"; return 1; }
}

# queue FILE PROMPTS...: a fresh queue with these prompts.
queue() {
    local db=$1
    shift
    cfgen-jobs init --db="$db" >/dev/null && printf '%s\n' "$@" |
        cfgen-jobs add --db="$db" --format=text - >/dev/null
}

manifest() { cfgen-jobs export --db="$1" --format=jsonl; }
