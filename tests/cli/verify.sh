#!/bin/bash
# cfgen-jobs verify: every way in which an image and its row can disagree is found, named
# and repaired, and nothing else is touched.
. "${CFGEN_SRCDIR:-.}/tests/cli/init.sh"

q() { sqlite3 "$1" "PRAGMA busy_timeout=10000; $2" | tail -n +2; }
path_of() { q "$1" "SELECT path FROM output WHERE job_id=$2"; }

queue first.db 'red apple' octopus banana pizza && echo 'tiger face' |
    cfgen-jobs add --db=first.db --lossless --seeds=0,1 - >/dev/null &&
    cfgen-batch --db=first.db --output=first --quiet || exit 99
export CFGEN_DB=t.db
# A fresh copy of queue and images: t.db and t.
fresh() { rm -rf t t.db* && cp first.db t.db && cp -r first t; }
verify() { cfgen-jobs verify --output=t "$@"; }
# finds KIND JOB OPTION...: exactly this finding, with a command that repairs it.
finds() {
    local kind=$1 job=$2
    shift 2
    exits 1 verify "$@" >found.txt || return 1
    cat found.txt
    [ "$(grep -c "^$kind  *job $job .*; cfgen-jobs verify --db=t.db --output=t.* --requeue$" found.txt)" = 1 ] &&
        [ "$(wc -l <found.txt)" = 2 ]
}
repaired() { # by the command that the finding names
    local command
    command=$(sed -n '1s/.*; cfgen-jobs/cfgen-jobs/p' found.txt)
    exits 1 eval "$command" && sound t.db && [ "$(q t.db 'SELECT n FROM stat WHERE state=0')" = 1 ] &&
        cfgen-batch --db=t.db --output=t --quiet && verify --deep && diff -r first t
}

is_sound() { fresh && verify && verify --deep && verify --deep --requeue --remove-orphans && diff -r first t; }
case_ "a sound queue is sound, and repairing it changes nothing" is_sound

missing() { fresh && rm "t/$(path_of t.db 2)" && finds missing 2 && repaired; }
case_ "a missing file is found and made again" missing

longer() { fresh && echo x >>"t/$(path_of t.db 2)" && finds size 2 && repaired; }
case_ "a file of another size is found and made again" longer

linked() {
    fresh || return 1
    local p="t/$(path_of t.db 2)"
    mv "$p" elsewhere.webp && ln -s "$PWD/elsewhere.webp" "$p" && finds file 2 && finds file 2 --deep && repaired
}
case_ "a link in the place of a file is found and made again" linked

flipped() {
    fresh && printf X | dd of="t/$(path_of t.db 2)" bs=1 seek=200 conv=notrunc 2>/dev/null &&
        verify && finds hash 2 --deep && repaired
}
case_ "a changed byte is found by --deep alone and made again" flipped

# The row agrees with the file, but the file is no good.
agree() { q t.db "UPDATE output SET bytes=$(stat -c %s "$2"), file_sha256='$(sha256sum <"$2" | cut -c1-64)' WHERE job_id=$1"; }
undecodable() {
    fresh || return 1
    local p="t/$(path_of t.db 2)"
    head -c 300 /dev/zero >"$p" && agree 2 "$p" && verify && finds damaged 2 --deep && repaired
}
case_ "a file that does not decode is found and made again" undecodable

pixels() {
    fresh && q t.db "UPDATE output SET pixel_sha256='$(printf 0%.0s {1..64})' WHERE job_id=5" &&
        finds pixels 5 --deep
}
case_ "other pixels of an image without loss are found" pixels

swapped() {
    fresh || return 1
    local p="t/$(path_of t.db 2)"
    cp "t/$(path_of t.db 3)" "$p" && agree 2 "$p" && verify && finds metadata 2 --deep && repaired
}
case_ "the image of another job is found by its record" swapped

without_record() {
    rm -rf n n.db && queue n.db 'red apple' && cfgen-batch --db=n.db --output=n --metadata=none --quiet &&
        cfgen-jobs verify --db=n.db --output=n --deep
}
case_ "an image without a record is sound" without_record

hostile() {
    fresh && q t.db "UPDATE output SET path='../first/' || path WHERE job_id=2;
        UPDATE output SET bytes=-1 WHERE job_id=3; UPDATE output SET offset=7 WHERE job_id=4" || return 1
    exits 1 verify --deep >found.txt
    cat found.txt
    [ "$(grep -c '^file  *job [234] ' found.txt)" = 3 ] && grep -q '^orphan' found.txt
}
case_ "rows that leave the root or make no sense are findings" hostile

orphans() {
    fresh && mkdir -p t/ab/cd t/notes && touch t/ab/cd/readme t/notes/mine t/mine.txt t/00007.tar.part \
        t/00008.jsonl t/.tmp-999999999-1-00000000000000000000000000000000 &&
        echo x >t/ab/cd/abcd0000000000000000000000000000.webp || return 1
    exits 1 verify --requeue >found.txt || return 1
    cat found.txt
    [ "$(grep -c ^orphan found.txt)" = 4 ] && [ "$(grep -c ^temporary found.txt)" = 1 ] &&
        [ "$(wc -l <found.txt)" = 6 ] && [ -e t/ab/cd/abcd0000000000000000000000000000.webp ]
}
case_ "files that no row names are found, and left" orphans
removed() {
    exits 1 verify --remove-orphans >found.txt
    cat found.txt
    [ "$(grep -c 'removed$' found.txt)" = 2 ] && no_temporaries t &&
        [ ! -e t/ab/cd/abcd0000000000000000000000000000.webp ] && ls t/ab/cd/readme t/notes/mine t/mine.txt \
        t/00007.tar.part t/00008.jsonl && rm -r t/ab/cd/readme t/notes t/mine.txt t/0000* && verify --deep &&
        rmdir t/ab/cd && { rmdir t/ab 2>/dev/null; diff -r first t; }
}
case_ "--remove-orphans removes images and leavings, nothing else" removed

at_work() {
    fresh && q t.db "DELETE FROM output WHERE job_id=2; UPDATE job SET state=1 WHERE id=2;
        INSERT INTO lease VALUES(2, 1, '$(printf 0%.0s {1..32})')" && verify --remove-orphans && sound t.db
}
case_ "the file of a job at which a worker is at work is no orphan" at_work

writing() {
    fresh || return 1
    local name=t/.tmp-$$-1-00000000000000000000000000000000
    flock -n "$name" cfgen-jobs verify --output=t --remove-orphans && [ -e "$name" ] && rm "$name"
}
case_ "the temporary file of a writer that lives is none of ours" writing

# One sample after another as they lie in a tar; the rows say where.
in_tar() {
    local i at path member=()
    fresh && mkdir s || return 1
    for i in 1 2 3; do
        path=$(path_of t.db $i)
        mv "t/$path" "s/00003000$i.webp" && echo '{}' >"s/00003000$i.json" || return 1
        member+=("00003000$i.json" "00003000$i.webp")
    done
    tar --format=ustar -C s -cf t/00003.tar.part "${member[@]}" && touch t/00003.jsonl.part || return 1
    for i in 1 2 3; do
        at=$(tar -tvRf t/00003.tar.part | sed -n "s/^block \([0-9]*\): .*00003000$i.webp$/\1/p")
        q t.db "UPDATE output SET path='00003.tar', offset=$(((at + 1) * 512)) WHERE job_id=$i"
    done
    verify && verify --deep && mv t/00003.tar.part t/00003.tar && verify --deep
}
shown() { # of six images three are files that a page can lead to
    cfgen-jobs gallery --output=t --out=g && [ "$(grep -o '<img ' g/index.html | wc -l)" = 6 ] &&
        [ "$(grep -o 'href="../t/' g/index.html | wc -l)" = 3 ]
}
case_ "images in a tar are sound, growing or finished" in_tar
case_ "the gallery shows images in a tar" shown
cut_tar() {
    cp t/00003.tar whole.tar && truncate -s 3000 t/00003.tar || return 1
    exits 1 verify >found.txt
    cat found.txt
    grep -q '^file  *job 2 00003.tar: ' found.txt && grep -q '^file  *job 3 00003.tar: ' found.txt &&
        cp whole.tar t/00003.tar && q t.db "UPDATE output SET offset=offset+512 WHERE job_id=3" && finds file 3
}
case_ "a tar that was cut and an offset that is wrong are found" cut_tar

no_root() {
    fresh && says 'nowhere' 66 cfgen-jobs verify --output=nowhere --requeue &&
        [ "$(q t.db 'SELECT n FROM stat WHERE state=2')" = 6 ]
}
case_ "a root that is not there is an error, and requeues nothing" no_root

of_batch() {
    fresh && echo zebra | cfgen-jobs add --batch-name=new - && cfgen-batch --db=t.db --output=t --quiet &&
        rm "t/$(path_of t.db 2)" && verify --batch=new && exits 1 verify &&
        says 'not a --batch' 64 verify --batch=new --remove-orphans
}
case_ "--batch looks at one batch" of_batch

elsewhere() {
    fresh && mkdir -p u && exits 1 cfgen-jobs verify --output=u >found.txt && tail -1 found.txt &&
        grep -q '^most images are not in u: is it the --output of cfgen-batch' found.txt
}
case_ "a directory that the images were never in is told as such" elsewhere

as_json() {
    fresh && rm "t/$(path_of t.db 2)" && exits 1 verify --json >found.json && cat found.json &&
        jq -se '.[0].finding == "missing" and .[0].job == 2 and (.[0].repair | test("--requeue$"))
            and .[1] == {"checked":6,"found":1,"repaired":0}' found.json
}
case_ "--json is one object a line with the sums last" as_json
plan_
