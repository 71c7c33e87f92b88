#!/bin/sh
# cfgen-manifest(5) names each field that is written, and none that is not.
. "${CFGEN_SRCDIR:?}/tests/cli/jobs_test_lib.sh"
page=$CFGEN_SRCDIR/man/cfgen-manifest.5

# Fields that the page lists between two headings.
listed() {
    sed -n "/^\.Ss $1/,/^\.S[sh] $2/s/^\.It Li //p" "$page" | tr -s ' ,' '\n' | sort
}
same() {
    if diff "$1" "$2" >out; then ok "$3"; else no "$3"; fi
}

"$jobs" init --db=q.db >out && echo fox >p.txt && "$jobs" add --db=q.db p.txt >out || exit 99
run 0 export --db=q.db --state=all --times --format=csv
head -n 1 out | tr -d '\r' | tr ',' '\n' | sort >written
listed 'The manifest' 'The tars' >described
is "there are fields" test "$(wc -l <written)" -gt 15
# The place in a tar is no column of an export of files by themselves.
{ grep -vx offset written; echo offset; } | sort >expected
same expected described "the page and the manifest have the same fields"

{ echo schema; sed -n -E 's/^    (TEXT|COUNT)\(([a-z_0-9]+)\),$/\2/p; s/^    \{"([a-z_]+)", CF_FIELD.*/\1/p' \
    "$CFGEN_SRCDIR/store/fields.c"; } | sort >written
listed 'STEM.json' 'The image' >described
is "there are facts of an image" test "$(wc -l <written)" -eq 26
same written described "the page and an image have the same facts"
plan
