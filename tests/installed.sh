#!/bin/sh
# installed.sh BINDIR MANDIR - run by make installcheck, and so by make distcheck: what was
# installed makes pictures without the tree, without options and without environment.
set -eu
bin=$1 man=$2
unset CFGEN_DB CFGEN_MODEL CFGEN_MODEL_PATH
tmp=$(mktemp -d "${TMPDIR:-/tmp}/installed.XXXXXX")
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"

for program in cfgen cfgen-batch cfgen-bench cfgen-jobs cfgen-model; do
    "$bin/$program" --version
    [ -s "$man/man1/$program.1" ] || { echo "$man/man1/$program.1 is missing"; exit 1; }
done
"$bin/cfgen" --output=apple.webp 'red apple'
"$bin/cfgen-jobs" init --db=jobs.sqlite
echo octopus | "$bin/cfgen-jobs" add --db=jobs.sqlite --format=text -
"$bin/cfgen-batch" --db=jobs.sqlite --quiet
[ -s apple.webp ]
[ "$(find images -name '*.webp' -size +0 | wc -l)" = 1 ]
echo "installcheck: one picture by cfgen, one by cfgen-batch, with the installed model"
