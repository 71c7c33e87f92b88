#!/bin/sh
# cfgen-jobs: from prompts to manifest, with texts that mean harm.
. "${CFGEN_SRCDIR:?}/tests/cli/jobs_test_lib.sh"
CFGEN_DB=q.db; export CFGEN_DB

is "init" run 0 init
is "real prompts come in" run 0 add "$CFGEN_SRCDIR/tests/data/PartiPrompts.tsv"
is "all of them" has out "1632 jobs added, 0 were there already"
is "again: none twice" run 0 add "$CFGEN_SRCDIR/tests/data/PartiPrompts.tsv"
is "and that is told" has out "0 jobs added, 1632 were there already"
is "status as JSON" run 0 status --json
is "counts by state" has out '"ready":1632'
is "work is left: 75" run 75 status --exit-code

is "a new queue" run 0 init --db=h.db
CFGEN_DB=h.db
printf '\033]0;pwned\007 \033[2Jcat\n-n --help\n%s\n' "'; DROP TABLE job; --" >hostile.txt
is "hostile prompts come in" run 0 add hostile.txt
is "list" run 0 list
is "no escape reaches the terminal" sh -c '! grep -q "$(printf "\033")" out'
is "the escape is told instead" has out '\u{1b}]0;pwned'
is "show" run 0 show 1
is "no escape there either" sh -c '! grep -q "$(printf "\033")" out'
is "JSON keeps the exact text" sh -c '"$0" list --json | grep -qF "\\u001B]0;pwned\\u0007"' "$jobs"
is "SQL is only text" sh -c '"$0" list --json | grep -qF "DROP TABLE job; --"' "$jobs"

printf 'good\nbad \377\nfine\n' >mixed.txt
is "bad rows are skipped with 65" run 65 add mixed.txt
is "with their line" has err "mixed.txt:2: prompt is not UTF-8 (byte 5 is 0xff)"
is "with a count" has out "2 jobs added, 0 were there already; 3 rows read, 1 skipped"
i=0; while [ $i -lt 25 ]; do printf '\377\n'; i=$((i + 1)); done >many.txt
is "many bad rows" run 65 add many.txt
is "twenty of them are shown, the rest is counted" sh -c '[ "$(grep -c many.txt err)" -eq 20 ] && grep -q "and 5 more" err'
printf 'new\n\377\n' >strict.txt
is "--strict stops with 65" run 65 add --strict strict.txt
is "and keeps nothing" sh -c '! "$0" list | grep -q new' "$jobs"

is "a new queue" run 0 init --db=w.db
CFGEN_DB=w.db
mkfifo pipe
"$jobs" add - <pipe >slow.out 2>&1 &
exec 3>pipe
echo one >&3
i=0
until "$jobs" status --json | grep -q '"ready":1' || [ $i -eq 50 ]; do sleep 0.1; i=$((i + 1)); done
is "an import that waits for its pipe holds up nobody" run 0 hold 1
echo two >&3
exec 3>&-
wait
is "and goes on afterwards" has slow.out "2 jobs added"

is "a new queue" run 0 init --db=o.db
CFGEN_DB=o.db
echo '{"top_p":0.9,"cfg":1}' >recipe.json
is "options of add" sh -c 'echo "a cat" | "$0" add --seeds=0..20:10 --size=512x256 --priority=4 --cfg=3,2.5 --tau=0.5 --top-k=900 --recipe=recipe.json --negative=blurry --batch-name=night - >out 2>err' "$jobs"
is "list as JSON" run 0 list --json --limit=1
is "the recipe file with the options over it" has out '"recipe":{"cfg":[3.0,2.5],"tau":0.5,"top_k":900,"top_p":0.9}'
is "size, negative, priority" sh -c 'grep -qF "\"width\":512,\"height\":256" out && grep -qF "\"negative\":\"blurry\"" out && grep -qF "\"priority\":4" out'
is "three seeds" sh -c '[ "$("$0" list | wc -l)" -eq 3 ]' "$jobs"
for bad in --size=512 --size=0x5 --size=99999x1 --seed=1,2 --seed=-1 --seeds=5..1 --cfg=a --priority=x --format=xml --limit=0; do
    is "add $bad is 64" run 64 add "$bad" hostile.txt
done
is "a recipe out of range is 65" run 65 add --cfg=1000 hostile.txt
echo '{"steps":3}' >bad.json
is "an unknown recipe key is 65" run 65 add --recipe=bad.json hostile.txt
is "nothing was added by these" sh -c '[ "$("$0" list | wc -l)" -eq 3 ]' "$jobs"
is "hold" run 0 hold 1 2
is "held jobs are not ready" sh -c '"$0" status --json | grep -q "\"ready\":1,.*\"held\":2"' "$jobs"
is "release one" run 0 release 1
is "cancel one that is held" run 0 cancel 2
is "a wrong id changes nothing" run 66 hold 1 77
is "job 1 is still ready" sh -c '"$0" list --state=ready | grep -q "^ *1 "' "$jobs"
is "a cancelled job cannot be held" run 64 hold 2
is "retry brings it back" run 0 retry 2
is "hold all, release all" sh -c '"$0" hold --all && "$0" release --all | grep -q "^3 jobs"' "$jobs"
is "reap finds nobody dead" run 0 reap
is "a worker that is not there is 66" run 66 reap --worker=5
is "the queue is sound" run 0 check
is "retry of a ready job changes nothing" run 0 retry 1
is "retry of nothing is 64" run 64 retry
is "export of nothing is an empty manifest" run 0 export
is "empty indeed" test ! -s out
is "export of all" run 0 export --state=all --output=a.jsonl
is "the same bytes again" sh -c '"$0" export --state=all --output=b.jsonl && cmp -s a.jsonl b.jsonl && [ "$(wc -l <a.jsonl)" -eq 3 ]' "$jobs"
is "export as CSV has a row of names" sh -c '"$0" export --state=all --format=csv | head -n 1 | grep -q "^id,key,user_key,prompt,negative,seed,width,height,recipe,path,file_sha256,pixel_sha256,bytes"' "$jobs"
is "and comes back in as the same jobs" sh -c '"$0" export --state=all --format=csv | tr -d "\r" | sed "s/^id,/no,/; 1s/,recipe,/,was,/" >back.csv; "$0" add --recipe=recipe.json --cfg=3,2.5 --tau=0.5 --top-k=900 back.csv >out 2>err; grep -q "^0 jobs added, 3 were" out' "$jobs"

is "a new queue" run 0 init --db=r.db
CFGEN_DB=r.db
# recipe WANT OPTION...: what the option alone makes of the recipe
recipe() {
    recipe=$1; shift
    echo "prompt $n" >key.txt
    "$jobs" add "$@" key.txt >out 2>err && "$jobs" list --json >out && grep -F "\"prompt\":\"$(cat key.txt)\"" out | grep -qF "\"recipe\":$recipe,"
}
is "--flip-bits with one number" recipe '{"flip_bits":0.25}' --flip-bits=0.25
is "--flip-bits with a list" recipe '{"flip_bits":[0.0,0.5]}' --flip-bits=0,0.5
is "--cfg-insertion-layer with one number is a list" recipe '{"cfg_insertion_layer":[-5]}' --cfg-insertion-layer=-5
is "--cfg-insertion-layer with a list" recipe '{"cfg_insertion_layer":[0,-2]}' --cfg-insertion-layer=0,-2
is "--quality" recipe '{"quality":75.5}' --quality=75.5
is "--lossless" recipe '{"lossless":true}' --lossless
is "--method" recipe '{"method":6}' --method=6
is "--strict-size" recipe '{"strict_size":true}' --strict-size
is "--model" recipe '{"model":"infinity-2b"}' --model=infinity-2b
echo x >x.txt
for bad in --flip-bits=a --cfg-insertion-layer= --quality=high --method=4,,5 "--model=$(printf '\377')" --lossless=yes; do
    is "add with a wrong ${bad%%=*} is 64" run 64 add "$bad" x.txt
done
for bad in --flip-bits=2 --cfg-insertion-layer=1.5 --quality=101 --method=7 --model=; do
    is "add with $bad, out of range, is 65" run 65 add "$bad" x.txt
done
plan
