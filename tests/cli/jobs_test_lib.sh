# Sourced by tests/cli/jobs_*.sh: a place to work in, TAP, the program under test.
set -u
jobs=${CFGEN_BUILDDIR:?}/cfgen-jobs
tmp=$(mktemp -d) || exit 99
trap 'rm -rf "$tmp"' EXIT
cd "$tmp" || exit 99
unset CFGEN_DB
n=0
ok() { n=$((n + 1)); echo "ok $n - $1"; }
no() { n=$((n + 1)); echo "not ok $n - $1"; sed 's/^/# /' out err 2>/dev/null; }
# run STATUS ARGS...: cfgen-jobs with its output in out and err
run() {
    want=$1; shift
    "$jobs" "$@" >out 2>err
    got=$?
    [ $got -eq "$want" ] || { echo "# $*: status $got, expected $want"; return 1; }
}
# is CLAIM COMMAND...: ok when the command succeeds
is() { claim=$1; shift; if "$@"; then ok "$claim"; else no "$claim"; fi; }
has() { grep -qF -- "$2" "$1"; }
plan() { echo "1..$n"; }
"$jobs" init --db=probe.db 2>err
[ $? -ne 78 ] || { echo "1..0 # SKIP $tmp lies on a shared file system"; exit 0; }
