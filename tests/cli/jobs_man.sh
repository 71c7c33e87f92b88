#!/bin/sh
# The manual of cfgen-jobs: clean, complete, and its examples run.
. "${CFGEN_SRCDIR:?}/tests/cli/jobs_test_lib.sh"
page=$CFGEN_SRCDIR/man/cfgen-jobs.1

if command -v mandoc >/dev/null; then
    is "mandoc finds nothing wrong" sh -c 'mandoc -T lint -W warning "$0" >out 2>&1' "$page"
else
    ok "mandoc finds nothing wrong # SKIP no mandoc here"
fi

# Options as "s --long=ARG" or "--long", one a line, sorted.
in_help() {
    sed -n -E 's/^  (-(.), |    )(--[a-z-]+(=[^ ]+)?)( .*)?$/\2 \3/p'
}
in_page() {
    sed -n -E 's/^\.It Fl (([a-zA-Z]) , Fl )?-([a-z-]+)( Ns = Ns Ar ([A-Za-z0-9|:@]+))?$/\2 --\3=\5/p' |
        sed 's/=$//'
}
{ "$jobs" --help; for c in $("$jobs" --help | sed -n 's/^  \([a-z]*\) .*/\1/p'); do "$jobs" "$c" --help; done; } |
    in_help | sort -u >help.txt
in_page <"$page" | sort -u >page.txt
is "there are options" test "$(wc -l <help.txt)" -gt 20
if diff help.txt page.txt >out; then ok "the manual and --help tell the same options"
else no "the manual and --help tell the same options"; fi
for c in $("$jobs" --help | sed -n 's/^  \([a-z]*\) .*/\1/p'); do
    is "the manual has a section on $c" grep -q "^\.Ss $c\b" "$page"
done

PATH=$CFGEN_BUILDDIR:$PATH; export PATH
sed -n '/^\.Sh EXAMPLES/,/^\.Sh SEE/s/^\$ //p' "$page" >examples.txt
is "there are examples" test -s examples.txt
while IFS= read -r line; do
    is "example: $line" sh -c '(eval "$0") >out 2>err </dev/null' "$line"
done <examples.txt
is "the examples made 13 jobs" sh -c '"$0" status --db=queue.db --json | grep -q "\"ready\":13"' "$jobs"
plan
