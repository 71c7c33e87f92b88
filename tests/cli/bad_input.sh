#!/bin/bash
# What is wrong is named, with a remedy, the right status, no row lost and no file left.
. "${CFGEN_SRCDIR:-.}/tests/cli/init.sh"

model() { # NAME: a private copy of the shipped model
    rm -rf "$1"
    cp -r "$shipped" "$1" && chmod -R u+w "$1"
}
rehash() { # MODEL PART FILE: bind the file anew, so that its contents are what is judged
    local sum
    sum=$(sha256sum "$1/$3" | cut -d' ' -f1)
    jq --arg part "$2" --arg file "$3" --arg sum "$sum" '
        (.parts[$part] | if .files then .files[] else . end | select(.file == $file)).sha256 = $sum
    ' "$1/model.json" >model.new && mv model.new "$1/model.json"
}
untouched() { # DB N: all jobs still ready, nothing charged
    sound "$1" && [ "$(sqlite3 "$1" 'SELECT count(*) FROM job WHERE state=0 AND attempts=0')" -eq "$2" ]
}
refused() { # PATTERN STATUS MODEL
    says "$1" "$2" cfgen-batch --db=q.sqlite --output=img --model="./$3" && untouched q.sqlite 3 &&
        [ -z "$(find img -type f 2>/dev/null)" ]
}

queue q.sqlite 'red apple' 'octopus' 'banana' || exit 99

truncated() {
    model cut && truncate -s 100000 cut/infinity.safetensors &&
        refused 'infinity.safetensors.*(SHA-256|sha256|hash)' 65 cut &&
        rehash cut transformer infinity.safetensors && refused 'infinity.safetensors' 65 cut
}
corrupted() {
    model rot && printf 'X' | dd of=rot/vae.safetensors bs=1 seek=200000 conv=notrunc 2>/dev/null &&
        refused 'vae.safetensors' 65 rot &&
        printf '\377\377\377\377\377\377\377\177' | dd of=rot/vae.safetensors bs=1 conv=notrunc 2>/dev/null &&
        rehash rot vae vae.safetensors && refused 'vae.safetensors' 65 rot
}
no_tokenizer() { model notok && rm notok/spm.model && refused 'spm.model' 66 notok; }
empty_tokenizer() {
    model emptytok && : >emptytok/spm.model && rehash emptytok tokenizer spm.model &&
        refused 'spm.model' 65 emptytok
}
wrong_vae() { # one of 14 bits and patch 8, for a transformer of 16 bits
    model pair && cp "$src/tests/golden/infinity/vae-p8-d14.safetensors" pair/vae.safetensors &&
        refused 'vae.safetensors' 65 pair && rehash pair vae vae.safetensors &&
        refused 'vae.safetensors.*(shape|missing|expected)' 65 pair &&
        jq '.vae = {base_channels: 24, ch_mult: [1, 1, 2, 1], num_res_blocks: 1, bits: 14, patch: 8}' \
            pair/model.json >model.new && mv model.new pair/model.json &&
        refused '1[46].* bits.*1[46]|bits.*1[46].*1[46]' 65 pair
}
case_ "truncated weights are named, also when the manifest was made to fit" truncated
case_ "corrupted weights are named, also when the manifest was made to fit" corrupted
case_ "a missing tokenizer is named" no_tokenizer
case_ "an empty tokenizer is named" empty_tokenizer
case_ "a VAE that does not fit the transformer is refused with the reason" wrong_vae
short_list() {
    model short && jq '.sampling.cfg = [2, 2]' short/model.json >model.new && mv model.new short/model.json &&
        refused 'model.json: its own settings.*guidance' 65 short
}
case_ "a model whose defaults do not fit its scales is refused before any job" short_list
case_ "a missing model lists the places looked at" refused 'nowhere' 66 nowhere

bad_prompt() {
    printf 'red apple\n\377\376 oops\noctopus\n' >bad.txt
    cfgen-jobs init --db=u.sqlite && says 'bad.txt:2: ' 65 cfgen-jobs add --db=u.sqlite --format=text bad.txt &&
        [ "$(sqlite3 u.sqlite 'SELECT count(*) FROM job')" -eq 2 ] && sound u.sqlite &&
        says 'UTF-8' 65 cfgen --output=x.webp "$(printf 'a\377b')" && [ ! -e x.webp ]
}
smuggled() { # a row that never went through import
    queue s.sqlite 'red apple' && sqlite3 s.sqlite "UPDATE prompt SET text=CAST(x'61ff62' AS TEXT)" &&
        exits 1 cfgen-batch --db=s.sqlite --output=simg --quiet && sound s.sqlite &&
        [ "$(sqlite3 s.sqlite 'SELECT state FROM job')" -eq 3 ] && [ -z "$(find simg -type f)" ]
}
pasted() { # DB: the failure's retry command, as status prints it, works
    queue "$1" 'red apple' && sqlite3 "$1" "UPDATE prompt SET text=CAST(x'61ff62' AS TEXT)" &&
        exits 1 cfgen-batch --unsafe-shared-db --db="$1" --output=simg --quiet &&
        cfgen-jobs status --db="$1" >status.log && cat -v status.log &&
        ! grep -q $'\033' status.log &&
        eval "$(sed -n 's/^failures.*: cfgen-jobs/cfgen-jobs/p' status.log)" && untouched "$1" 1
}
obeyed_by_no_terminal() {
    local evil=$'a\xc2\x9b31mb\xe2\x80\xaec \xc3\xa4' # CSI in one character, a bidi override
    cfgen --output=evil.webp "$evil" && cfgen --meta=evil.webp >evil.json &&
        ! LC_ALL=C grep -qP '\xc2\x9b|\xe2\x80\xae' evil.json || return 1
    ! command -v jq >/dev/null || [ "$(jq -r .prompt evil.json)" = "$evil" ] || { cat evil.json; return 1; }
    cfgen --output=kind.webp $'\xc3\xa4' && cfgen --meta=kind.webp | grep -q $'\xc3\xa4'
}
case_ "what an image says of itself is printed so that no terminal obeys it" obeyed_by_no_terminal
case_ "a prompt with invalid UTF-8 is refused with its line" bad_prompt
case_ "a row with invalid UTF-8 fails for good, with no image" smuggled
case_ "the retry command of status works when pasted" pasted p.sqlite
case_ "also where the queue's name is one for the shell" pasted "it's \$a \\ *queue.sqlite"
case_ "also where it would harm a terminal, and then it does not" pasted $'it\'s \\ \033[1mbold.sqlite'

foreign() {
    sqlite3 foreign.sqlite 'CREATE TABLE t(x); INSERT INTO t VALUES(1)' && cp foreign.sqlite keep.sqlite &&
        says 'foreign.sqlite' 78 cfgen-batch --db=foreign.sqlite && cmp foreign.sqlite keep.sqlite
}
garbage() {
    head -c 9000 /dev/urandom >noise.sqlite && cp noise.sqlite keep2 &&
        says 'noise.sqlite' 65 cfgen-batch --db=noise.sqlite && cmp noise.sqlite keep2
}
newer() {
    queue new.sqlite x && sqlite3 new.sqlite 'PRAGMA user_version=9999' &&
        says 'new.sqlite' 78 cfgen-batch --db=new.sqlite
}
case_ "a database that is not ours is refused and not written" foreign
case_ "a file that is no database is refused and not written" garbage
case_ "a queue of a later version is refused" newer
case_ "a missing database is named" says 'none.sqlite' 66 cfgen-batch --db=none.sqlite

read_only() {
    mkdir ro && chmod 555 ro && chmod 777 "$tmp" && chmod a+rw q.sqlite*
    if [ "$(id -u)" -eq 0 ]; then
        says 'ro' 77 setpriv --reuid=65534 --regid=65534 --clear-groups env PATH="$PATH" \
            CFGEN_MODEL_PATH="$CFGEN_MODEL_PATH" "$bld/cfgen-batch" --db=q.sqlite --output=ro/img
    else
        says 'ro' 77 cfgen-batch --db=q.sqlite --output=ro/img
    fi && untouched q.sqlite 3
}
reachable() { # can an unprivileged user run the programs where they lie? (setpriv itself still can)
    [ "$(id -u)" -ne 0 ] || setpriv --reuid=65534 --regid=65534 --clear-groups env "$bld/cfgen-batch" --version >/dev/null 2>&1
}
if reachable; then
    case_ "a read-only output directory is refused before any claim" read_only
else
    skip_ "a read-only output directory is refused before any claim" "the build is not readable for other users"
fi

full_disk() {
    mkdir full && mount -t tmpfs -o size=64k tmpfs full || return 1
    queue f.sqlite 'red apple' 'octopus' 'banana' 'tiger face' || return 1
    head -c 60000 /dev/zero >full/ballast
    says 'full|space' 74 cfgen-batch --db=f.sqlite --output=full/img && no_temporaries full && sound f.sqlite &&
        [ "$(sqlite3 f.sqlite 'SELECT coalesce(sum(attempts),0) FROM job')" -eq 0 ] &&
        rm full/ballast && cfgen-batch --db=f.sqlite --output=full/img --quiet &&
        [ "$(sqlite3 f.sqlite 'SELECT count(*) FROM job WHERE state=2')" -eq 4 ] && sound f.sqlite
}
cleanup() { umount "$tmp/full" "$tmp/probe" 2>/dev/null; }
if mkdir probe && mount -t tmpfs -o size=64k tmpfs probe 2>/dev/null; then
    umount probe
    case_ "a full disk stops the worker, charges nothing, and space brings the rest" full_disk
else
    skip_ "a full disk stops the worker, charges nothing, and space brings the rest" "no right to mount a small file system"
fi

bad_options() {
    says 'option' 64 cfgen-batch --db=q.sqlite --nonsense && says '--threads' 64 cfgen-batch --db=q.sqlite --threads=-1 &&
        says 'operand' 64 cfgen-batch --db=q.sqlite extra && says '--db' 64 cfgen-batch &&
        says '--size' 64 cfgen --size=12 x && says 'prompt' 64 cfgen && says 'operands' 64 cfgen a b &&
        says '--tau' 64 cfgen --tau=abc x
}
size_note() {
    says 'note:' 0 cfgen --size=640x480 --output=n.webp 'red apple' &&
        says '640' 65 cfgen --strict-size --size=640x480 --output=m.webp 'red apple' && [ ! -e m.webp ]
}
full_stdout() {
    exits 74 cfgen-batch --help >/dev/full && exits 74 cfgen --help >/dev/full &&
        exits 74 cfgen --output=- 'red apple' >/dev/full
}
case_ "bad options are named, with status 64" bad_options
case_ "a size that is no size of the model is replaced with a note, or refused on request" size_note
case_ "a full standard output is an error" full_stdout
wrong_rows() { # more of them in a row than --fail-fast allows
    cfgen-jobs init --db=r.sqlite && seq 1 8 | sed 's/^/number /' |
        cfgen-jobs add --db=r.sqlite --format=text --size=640x480 --strict-size - &&
        echo 'red apple' | cfgen-jobs add --db=r.sqlite --format=text - &&
        exits 1 cfgen-batch --db=r.sqlite --output=rimg --quiet && sound r.sqlite &&
        [ "$(sqlite3 r.sqlite 'SELECT group_concat(n) FROM (SELECT n FROM stat WHERE n ORDER BY state)')" = 1,8 ]
}
case_ "rows that no worker could do fail alone and never stop the worker" wrong_rows
slips() { # of the pen: each is told with what to do
    says 'there is no such queue: cfgen-jobs init' 66 cfgen-batch --db=none.sqlite --dry-run &&
        says 'there is no such plan: cfgen-jobs plan' 66 cfgen-batch --db=none.sqlite --shard=1 &&
        says 'there is no such queue: cfgen-jobs init' 66 cfgen-jobs status --db=none.sqlite &&
        says 'options come after the command' 64 cfgen-jobs --db=q.sqlite status &&
        says 'or an option that names jobs' 64 cfgen-jobs hold --db=q.sqlite &&
        says 'expected a whole number.*, or auto' 64 cfgen-batch --db=q.sqlite --threads=all &&
        says 'CFGEN_MODEL_PATH' 66 cfgen-batch --db=q.sqlite --model=none &&
        cfgen-jobs plan --db=q.sqlite --shards=2 --out=plan.sqlite &&
        says 'shard 2: the plan has shards 0..1, as tasks 0-1' 64 cfgen-batch --db=plan.sqlite --shard=2 &&
        [ ! -e none.sqlite ]
}
case_ "a slip of the pen is told with what to do" slips
warned() { # OPTION...
    says 'no such batch or recipe .*batch=none' 0 cfgen-batch --db=q.sqlite --output=img --where=batch=none "$@" &&
        [ "$(grep -c 'no such batch' said.log)" = 1 ]
}
case_ "a batch that is not there is warned of" warned --threads=1
case_ "and once by several workers" warned --workers=2
threads_() {
    says 'more threads than processors.*threads=1000' 0 cfgen-batch --db=q.sqlite --output=img --threads=1000 \
        --where=key=none
}
case_ "more threads than processors are warned of" threads_
case_ "no job of the queue was lost by all this" untouched q.sqlite 3
plan_
