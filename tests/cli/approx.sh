#!/bin/bash
# Approximations: asked for by an option or a recipe, told by the image, made again, and the
# same beside other jobs; what makes no sense is refused.
. "${CFGEN_SRCDIR:-.}/tests/cli/init.sh"
export CFGEN_DB=q.db
same='identical pixels, identical bytes'
pixels() { cfgen --meta="$1" | jq -r .pixel_sha256; }
told() { # numbers as numbers: jq 1.7 writes 2.0 where 1.6 writes 2
    cfgen --meta="$1" | jq -c '[.recipe.cfg, .recipe.cfg_skip, .recipe.prune_tokens]
        | walk(if type == "number" then . + 0 else . end)'
}

{ cfgen --output=exact.webp fox && cfgen --cfg-skip=2 --output=skip.webp fox &&
    cfgen --cfg-skip=1 --prune-tokens=0.25,0.5 --output=both.webp fox; } || exit 99

said() {
    [ "$(told exact.webp)" = '[2,null,null]' ] && [ "$(told skip.webp)" = '[[2,2,2,1,1],2,null]' ] &&
        [ "$(told both.webp)" = '[[2,2,2,2,1],1,[0.25,0.5]]' ]
}
other() {
    [ "$(pixels exact.webp)" != "$(pixels skip.webp)" ] && [ "$(pixels exact.webp)" != "$(pixels both.webp)" ]
}
off() { # exact, and the record does not speak of it
    cfgen --cfg-skip=0 --output=off.webp fox && cmp off.webp exact.webp
}
as_list() { # the same picture by another way
    cfgen --cfg=2,2,2,1,1 --output=list.webp fox && [ "$(pixels list.webp)" = "$(pixels skip.webp)" ]
}
again() {
    local i
    for i in skip both; do [ "$(cfgen --from=$i.webp --check --threads=2)" = "$same" ] || return 1; done
}
case_ "an image tells its approximations, an exact one has none" said
case_ "they change the picture" other
case_ "none is the default" off
case_ "skipped guidance is guidance 1 at the last scales" as_list
case_ "an approximate image is made again from its record" again

# ---- in a queue, beside exact jobs and other approximations ----

{ cfgen-jobs init && { echo fox; echo owl; } | cfgen-jobs add --cfg-skip=1 --prune-tokens=0.25,0.5 - &&
    echo fox | cfgen-jobs add - && echo fox | cfgen-jobs add --cfg-skip=2 - &&
    echo '{"prompt":"fox","recipe":{"prune_tokens":0.5}}' | cfgen-jobs add - &&
    echo fox | cfgen-jobs add --cfg-skip=5 - && echo fox | cfgen-jobs add --prune-tokens=0,0,0,0,0.5 -; } >/dev/null || exit 99
exits 1 cfgen-batch --quiet --max-attempts=1 --threads=2 --side-by-side=8 2>log.txt || exit 99
output() { sqlite3 q.db "SELECT pixel_sha256 FROM output WHERE job_id=$1"; }
cause() { sqlite3 q.db "SELECT code || ' ' || message FROM attempt WHERE job_id=$1"; }

as_alone() {
    [ "$(output 1)" = "$(pixels both.webp)" ] && [ "$(output 3)" = "$(pixels exact.webp)" ] &&
        [ "$(output 4)" = "$(pixels skip.webp)" ]
}
row_again() {
    local i
    for i in 1 2 4 5; do [ "$(cfgen-jobs rerun --check --threads=1 $i)" = "$same" ] || return 1; done
}
failed() {
    cause 6 | grep -q 'ERANGE.*cfg_skip: the last 5 scales of 5, expected 0..4' &&
        cause 7 | grep -q 'ERANGE.*prune_tokens: the last 5 scales of 5, expected up to 4'
}
case_ "a job is approximated as cfgen does it, whatever stands beside it" as_alone
case_ "approximate jobs are made again" row_again
case_ "more scales than the size has fail the job with the cause" failed

bad() { says "$1" "$2" cfgen "$3" --output=x.webp fox && [ ! -e x.webp ]; }
case_ "cfgen refuses more skipped scales than there are" bad 'cfg_skip: the last 5 scales of 5, expected 0..4' 65 --cfg-skip=5
case_ "cfgen refuses to prune the first scale" bad 'prune_tokens: .* the first has nothing to be filled in from' 65 --prune-tokens=0,0,0,0,0.5
case_ "a negative number of scales is no number of scales" bad "cfg-skip.*'-1'" 64 --cfg-skip=-1
case_ "more than all tokens cannot be left out" bad "prune-tokens.*'1.5'" 64 --prune-tokens=1.5
case_ "nor a share that is no number" bad 'prune-tokens' 64 --prune-tokens=half
add_bad() { echo fox | says "$1" "$2" cfgen-jobs add "$3" -; }
case_ "add refuses a share above 1" add_bad 'prune_tokens is 2, expected a number or a list of numbers in 0..1' 65 --prune-tokens=2
case_ "add refuses half a scale" add_bad 'cfg_skip is 1.5, expected an integer' 65 --cfg-skip=1.5
plan_
