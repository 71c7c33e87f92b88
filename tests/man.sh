#!/bin/sh
# man.sh - the manual is the specification: pages are well-formed, name exactly the options
# that the programs name themselves, and their examples run.
#
# An example is a line of the EXAMPLES section that begins with "$ "; a backslash at its end
# continues it. All examples of a page run in order in one temporary directory, which holds
# prompts.txt, with the built programs first in PATH and the models of the tree.
src=${CFGEN_SRCDIR:-$(cd "$(dirname "$0")/.." && pwd)}
bin=${CFGEN_BUILDDIR:-$src/build}
CFGEN_MODEL_PATH=$src/models
PATH=$bin:$PATH
LC_ALL=C.UTF-8
MANWIDTH=80
export CFGEN_MODEL_PATH PATH LC_ALL MANWIDTH
tmp=$(mktemp -d "${TMPDIR:-/tmp}/man.XXXXXX") || exit 99
trap 'rm -rf "$tmp"' EXIT
n=0

# verdict CLAIM [FILE]: it holds when FILE (by default what the last check said) is empty.
verdict()
{
    n=$((n + 1))
    if [ -s "${2-$tmp/said}" ]; then
        printf 'not ok %d - %s\n' "$n" "$1"
        sed 's/^/# /' "${2-$tmp/said}"
    else
        printf 'ok %d - %s\n' "$n" "$1"
    fi
}

skip()
{
    n=$((n + 1))
    echo "ok $n - $1 # SKIP $2"
}

have()
{
    command -v "$1" >/dev/null
}

lint() # page
{
    name=$(basename "$1")
    if have mandoc; then
        mandoc -T lint -W warning "$1" >"$tmp/said" 2>&1
        verdict "$name has no warning of mandoc"
    else
        skip "$name has no warning of mandoc" "no mandoc"
    fi
    if have lexgrog; then
        : >"$tmp/said"
        lexgrog "$1" >"$tmp/found" 2>&1 || cp "$tmp/found" "$tmp/said"
        verdict "$name has a NAME that whatis understands"
    else
        skip "$name has a NAME that whatis understands" "no lexgrog"
    fi
    if have man && have groff; then
        man --warnings -E UTF-8 -l "$1" 2>"$tmp/said" >/dev/null
        verdict "$name is formatted by groff without a warning"
    else
        skip "$name is formatted by groff without a warning" "no man or groff"
    fi
}

# Options that a text of --help describes: lines little indented, up to two blanks or the end.
help_options()
{
    sed -n 's/^ \{1,6\}\(-.*\)/\1/p' | sed 's/   *.*//; s/[][ ,=]/\n/g' |
        grep -E '^--?[A-Za-z0-9]' | sort -u
}

# Options that a page describes: those in the heads of its lists.
page_options()
{
    awk '$1 == ".It" { for (i = 2; i < NF; i++) if ($i == "Fl") print "-" $(i + 1) }' "$1" |
        sed 's/\\-/-/g; s/\\&//g' | sort -u
}

# Subcommands: the words that PROGRAM --help lists, where its usage has a COMMAND.
commands()
{
    awk 'NR == 1 && !/COMMAND/ { exit }
         /^  ?[a-z][a-z-]*  / { print $1 }'
}

options() # page program
{
    name=$(basename "$1" .1)
    : >"$tmp/said"
    "$2" --help >"$tmp/help" 2>"$tmp/said" </dev/null || echo "--help: status $?" >>"$tmp/said"
    verdict "$name --help succeeds and says nothing on stderr"
    commands <"$tmp/help" >"$tmp/commands"
    : >"$tmp/said"
    while read -r command; do
        "$2" "$command" --help </dev/null >>"$tmp/help" 2>>"$tmp/said" ||
            echo "$command --help: status $?" >>"$tmp/said"
        grep -q "^\.\(It\|Ss\).* *$command\( \|\$\)" "$1" ||
            echo "command $command is not in the page" >>"$tmp/said"
    done <"$tmp/commands"
    if [ -s "$tmp/commands" ]; then
        verdict "each command of $name has --help and a place in the page"
    fi
    help_options <"$tmp/help" >"$tmp/in_help"
    page_options "$1" >"$tmp/in_page"
    comm -23 "$tmp/in_help" "$tmp/in_page" >"$tmp/said"
    verdict "each option of $name --help is in its page"
    comm -13 "$tmp/in_help" "$tmp/in_page" >"$tmp/said"
    verdict "each option in the page of $name is in --help"
    "$2" --version >"$tmp/version" 2>&1 </dev/null || echo "--version: status $?" >>"$tmp/said"
    verdict "$name --version succeeds"
}

# The commands of the EXAMPLES section, one a line.
examples()
{
    sed -n '/^\.Sh EXAMPLES/,/^\.Sh [^E]/p' "$1" |
        sed 's/^\.D[1l] *//; s/\\e/\\/g; s/\\-/-/g; s/\\&//g; s/\\(aq/'\''/g; s/\\(dq/"/g' |
        awk 'more { sub(/^(> )?[ \t]*/, " "); line = line $0 }
             !more && /^\$ / { line = substr($0, 3); more = 1 }
             more && sub(/[ \t]*\\$/, "", line) { next }
             more { print line; more = 0 }'
}

run_examples() # page
{
    name=$(basename "$1")
    examples "$1" >"$tmp/examples"
    rm -rf "$tmp/dir"
    mkdir "$tmp/dir"
    cp "$src/examples/prompts.txt" "$tmp/dir"
    while read -r example <&3; do
        status=0
        (cd "$tmp/dir" && exec timeout 300 sh -c "$example") >"$tmp/out" 2>&1 </dev/null || status=$?
        : >"$tmp/said"
        [ "$status" = 0 ] || { echo "status $status"; tail -n 20 "$tmp/out"; } >"$tmp/said"
        verdict "example of $name: $(printf '%s' "$example" | tr '#' ' ')"
    done 3<"$tmp/examples"
}

for page in "$src"/man/*.[1-8]; do
    [ -f "$page" ] || continue
    lint "$page"
    program=$bin/$(basename "$page" .1)
    case $page in *.1) ;; *) run_examples "$page"; continue ;; esac
    if [ -x "$program" ]; then
        options "$page" "$program"
        run_examples "$page"
    else
        echo "$program is not built" >"$tmp/said"
        verdict "$(basename "$page") describes a program that is there"
    fi
done
for program in cfgen cfgen-batch cfgen-bench cfgen-jobs cfgen-model; do
    [ ! -x "$bin/$program" ] || [ -f "$src/man/$program.1" ] || echo "$program has no page"
done >"$tmp/said"
verdict "every program has a page"
echo "1..$n"
