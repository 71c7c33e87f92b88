#!/bin/sh
# bash completion: every command and every option of every --help is offered, and values.
. "${CFGEN_SRCDIR:?}/tests/cli/jobs_test_lib.sh"
command -v bash >/dev/null || { echo "1..0 # SKIP no bash"; exit 0; }
PATH=$CFGEN_BUILDDIR:$PATH; export PATH
mkdir images
: >prompts.txt
: >plan.db

# tab WORD...: what a Tab behind the last word offers, one a line. bash splits at "=".
cat >tab.bash <<'BASH'
. "$CFGEN_SRCDIR/man/completion/$1" || exit
for word; do
    case $word in
        --*=*)
            COMP_WORDS+=("${word%%=*}" =)
            [ -z "${word#*=}" ] || COMP_WORDS+=("${word#*=}")
            ;;
        *) COMP_WORDS+=("$word") ;;
    esac
done
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
found=$(complete -p "$1") || exit
found=${found#*-F }
"${found%% *}" "$1" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}" 2>err
printf '%s\n' "${COMPREPLY[@]}"
BASH
tab() { bash tab.bash "$@" | sort >out; }
# offers CLAIM "WORDS..." TAB ARGS
offers() { claim=$1 want=$2; shift 2; tab "$@"; is "$claim" test "$want" = "$(tr '\n' ' ' <out | sed 's/ $//')"; }

# told WORD...: the long options of a --help, = behind those that take a value
told() { "$@" --help | grep -oE '^ {2,6}(-., )?--[a-z-]+=?' | sed 's/.*--/--/' | sort; }
commands() { "$1" --help | sed -n "s/^  \([a-z][a-z]*\) .*/$1:\1/p"; }
for call in cfgen cfgen-batch cfgen-bench $(commands cfgen-jobs) $(commands cfgen-model); do
    # shellcheck disable=SC2046
    set -- $(echo "$call" | tr : ' ')
    told "$@" >want
    tab "$@" --
    case $call in cfgen-model:*) least=1 ;; *) least=3 ;; esac
    is "$* --<Tab> offers what its --help tells" sh -c "cmp -s want out && [ \$(wc -l <want) -ge $least ]"
    is "$* without a word says nothing wrong" sh -c '! [ -s err ]'
done
cfgen-jobs --help | sed -n 's/^  \([a-z][a-z]*\) .*/\1/p; s/^ *\(--[a-z]*\) .*/\1/p' | sort >want
tab cfgen-jobs ""
is "cfgen-jobs <Tab> offers every command" cmp -s want out
cfgen-model --help | sed -n 's/^  \([a-z][a-z]*\) .*/\1/p; s/^ *\(--[a-z]*\) .*/\1/p' | sort >want
tab cfgen-model ""
is "cfgen-model <Tab> offers every command" cmp -s want out
offers "--kv-type offers its words" "bf16 f32" cfgen-model convert --kv-type=
offers "an operand of cfgen-model is a directory" "images" cfgen-model verify im
offers "a command from its beginning" "reap release rerun retry" cfgen-jobs re </dev/null
cfgen-jobs init --db=q.db
cfgen-jobs status --db=q.db --json | sed 's/.*"states":{\([^}]*\)}.*/\1/' | tr ',' '\n' | sed 's/"\([a-z]*\)".*/\1/; $a all' | sort >want
tab cfgen-jobs list --state=
is "--state offers every state" cmp -s want out
offers "--state from its beginning" "done" cfgen-jobs export --state=do
offers "--format of export" "csv jsonl sqlite" cfgen-jobs export --format=
offers "--format of add" "auto csv jsonl text tsv" cfgen-jobs add --format=
offers "words between bars" "json text" cfgen-batch --log-format=
offers "words of a value in a word of its own" "full minimal none" cfgen --metadata ""
offers "one word among others" "auto" cfgen-batch --threads=
offers "conditions" "batch= key= recipe= tag=" cfgen-batch --where=
offers "files for FILE" "plan.db" cfgen-batch --db=pl
offers "files for a letter" "plan.db" cfgen-batch -d pl
offers "directories alone for DIR" "images" cfgen-batch --output ""
offers "files for operands" "prompts.txt" cfgen-jobs add prom
offers "nothing for a prompt" "" cfgen pro
offers "nothing for a number" "" cfgen-batch --max-jobs=
offers "nothing for an unknown command" "" cfgen-jobs frobnicate --
plan
