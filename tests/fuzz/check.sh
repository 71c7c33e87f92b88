#!/bin/bash
# check.sh CPPFLAGS... -- LIBS... -- [TARGET...] - searches for inputs that break a parser:
# make check-fuzz calls it in the build tree. Every target (tests/fuzz/fuzz_TARGET.c), or those named, is built with
# clang's libFuzzer and the address and undefined-behaviour sanitizers, and runs for
# CF_FUZZ_SECONDS (60) from a scratch copy of its corpus. An input that crashes, hangs or
# eats memory fails the check and stays in build-fuzz/found.
set -u
src=$CFGEN_SRCDIR
out=build-fuzz
seconds=${CF_FUZZ_SECONDS:-60}
clang=${CLANG:-clang}

if ! command -v "$clang" >/dev/null; then
    echo "check-fuzz: no $clang here: libFuzzer comes with it (Debian package clang;" \
         "CLANG names another)" >&2
    exit 1
fi
case $seconds in
*[!0-9]* | "") echo "check-fuzz: CF_FUZZ_SECONDS is \"$seconds\", expected a number" >&2; exit 1 ;;
esac

cpp=()
while [ "$1" != -- ]; do cpp+=("$1"); shift; done
shift
libs=()
while [ "$1" != -- ]; do libs+=("$1"); shift; done
shift
targets=("$@")
if [ ${#targets[@]} = 0 ]; then
    for f in "$src"/tests/fuzz/fuzz_*.c; do
        f=${f##*/fuzz_}
        targets+=("${f%.c}")
    done
fi

# compile SOURCE: an object of it under $out, unless it is newer than all of the sources.
compile()
{
    local from=$1 object=$out/${1#"$src"/}.o
    [ "$object" -nt "$out/stamp" ] && return 0
    mkdir -p "${object%/*}"
    case $from in
    *.cc) "$clang++" -std=c++17 @$out/flags -c "$from" -o "$object" ;;
    *) "$clang" -std=gnu11 @$out/flags -c "$from" -o "$object" ;;
    esac
}
export -f compile
export clang out src
mkdir -p $out/found
printf "'%s'\n" -g -O1 -w -fno-omit-frame-pointer -fno-sanitize-recover=undefined \
    -fsanitize=fuzzer-no-link,address,undefined "${cpp[@]}" >$out/flags

# dnn/ reads nothing: models/ is linked with the library of the build.
# The newest source of all: what was compiled after it need not be compiled again.
newest=$(find "$src"/{base,weights,textenc,models,jobs,store,tests/fuzz} -name '*.[ch]*' -printf '%T@ %p\n' | sort -n | tail -1)
touch -r "${newest#* }" $out/stamp
printf '%s\n' "$src"/{base,weights,textenc,models,jobs,store}/*.c "$src"/textenc/*.cc |
    xargs -P "$(nproc)" -I{} bash -c 'compile "$1"' - {} || exit 1
rm -f $out/lib.a
find $out -name '*.o' -print0 | xargs -0 ar rcs $out/lib.a || exit 1

failed=0
for t in "${targets[@]}"; do
    "$clang++" @$out/flags -fsanitize=fuzzer -x c -std=gnu11 \
        "$src/tests/fuzz/fuzz_$t.c" -x none -o "$out/fuzz_$t" \
        -Wl,--start-group $out/lib.a "${libs[@]}" -Wl,--end-group || exit 1
    work=$(mktemp -d) || exit 1
    cp -r "$src/tests/fuzz/corpus/$t" "$work/corpus"
    chmod -R u+w "$work"
    if "$out/fuzz_$t" -max_total_time="$seconds" -max_len=8192 -timeout=20 -rss_limit_mb=3072 \
            -print_final_stats=1 -artifact_prefix="$out/found/$t-" "$work/corpus" >"$out/$t.log" 2>&1; then
        echo "ok - $t: $(sed -n 's/^stat::number_of_executed_units: *//p' "$out/$t.log") inputs," \
             "$(ls "$work/corpus" | wc -l) of them in the corpus"
    else
        failed=1
        echo "not ok - $t: $(grep -m 1 -E 'ERROR: |runtime error' "$out/$t.log" | cut -c 1-160)"
        sed -n 's/.*Test unit written to /    the input: /p' "$out/$t.log"
        echo "    the log: $out/$t.log"
    fi
    rm -rf "$work"
done
exit $failed
