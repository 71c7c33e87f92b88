#!/bin/bash
# cfgen-jobs rerun and cfgen --from: an image made again is the same one, or what differs is
# told.
. "${CFGEN_SRCDIR:-.}/tests/cli/init.sh"
export CFGEN_DB=q.db
same='identical pixels, identical bytes'

{ cfgen-jobs init && echo octopus | cfgen-jobs add --seeds=18446744073709551615 --negative='blue leaf' \
    --cfg=2,2,2,3,3 --tau=0.7 --top-p=0.9 --flip-bits=0.01 - && echo 'red apple' | cfgen-jobs add --lossless - &&
    echo banana | cfgen-jobs add --size=64x32 --quality=33.3 --method=2 - &&
    echo none | cfgen-jobs add --model=none -; } >/dev/null || exit 99
cfgen-batch --quiet --max-attempts=1 --threads=2 2>/dev/null
[ $? -eq 1 ] || exit 99
path() { sqlite3 q.db "SELECT path FROM output WHERE job_id=$1"; }
set_() { cp q.db "$1" && sqlite3 "$1" "UPDATE output SET $2 WHERE job_id=1"; }

each_job() {
    local i
    for i in 1 2 3; do
        [ "$(cfgen-jobs rerun --threads=1 $i)" = "$same" ] && cmp "job-$i.webp" "images/$(path $i)" || return 1
    done
}
case_ "a job made again, with other threads too, gives the same bytes" each_job

levels() {
    local level
    for level in minimal none; do
        queue $level.db banana && cfgen-batch --db=$level.db --output=$level --metadata=$level --quiet &&
            [ "$(cfgen-jobs rerun --db=$level.db --check 1)" = "$same" ] || return 1
    done
}
case_ "the amount of metadata need not be known" levels

checks_only() { mkdir -p c && (cd c && cfgen-jobs rerun --db=../q.db --check 1 && [ -z "$(ls)" ]); }
case_ "--check writes nothing" checks_only

differs() { # COLUMNS LINE...: exactly these lines
    set_ d.db "$1" || return 1
    shift
    exits 1 cfgen-jobs rerun --db=d.db --check --threads=2 1 >said.txt
    cat said.txt
    [ "$(wc -l <said.txt)" = $# ] || return 1
    local line
    for line in "$@"; do grep -qE "$line" said.txt || { echo "no /$line/"; return 1; }; done
}
case_ "other pixels are told" differs "pixel_sha256='p'" '^other pixels, identical bytes$' '^  pixels  *was p, is [0-9a-f]{64}$'
case_ "other bytes are told" differs "file_sha256='f'" '^identical pixels, other bytes$' '^  file  *was f, is [0-9a-f]{64}$'
case_ "another build, library and instruction set are told" differs \
    "file_sha256='f', build='cfgen 0.0.1, oneDNN 1.2.3', isa='mmx'" '^identical pixels, other bytes$' '^  file ' \
    '^  build  *was cfgen 0.0.1, is cfgen ' '^  oneDNN  *was 1.2.3, is ' '^  instruction set  *was mmx, is '
case_ "another number of threads is told" differs "file_sha256='f', threads=64" '^identical' '^  file ' \
    '^  threads  *were 64, are 2; this never changes an image$'

other_model() {
    sqlite3 q.db "SELECT sha256 FROM model" >hash && cp q.db m.db &&
        sqlite3 m.db "UPDATE model SET sha256='m'" && cfgen-jobs rerun --db=m.db --check 1 >said.txt
    cat said.txt
    grep -qE "^  model  *was m, is $(cat hash)$" said.txt
}
case_ "another model is told" other_model

other_isa() {
    exits 1 env CFGEN_CPU=c cfgen-jobs rerun --check 2 >said.txt
    cat said.txt
    grep -qE '^  instruction set  *was avx.*, is c$' said.txt
}
if [ "$(sqlite3 q.db 'SELECT isa FROM output LIMIT 1')" = c ]; then
    skip_ "a run on other instructions is told" "this processor has only C"
else case_ "a run on other instructions is told" other_isa; fi

case_ "a job that is not done is refused" says 'job 4 is failed: only a done job' 64 cfgen-jobs rerun 4
case_ "a job that is not there is missing" says 'there is no job 77' 66 cfgen-jobs rerun --check 77
case_ "a job without a queue is a wrong call" says 'expected' 64 cfgen --job=1

by_record() {
    [ "$(cfgen --check --from="images/$(path 1)")" = "$same" ] && cfgen --from="images/$(path 2)" --output=two.webp &&
        cmp two.webp "images/$(path 2)" && rm -f image.webp && cfgen --from="images/$(path 2)" && cmp two.webp image.webp
}
case_ "an image is made again from its own record" by_record

sized() { # the size that was asked for is not in the record
    exits 1 cfgen --check --from="images/$(path 3)" >said.txt
    cat said.txt
    grep -q '^identical pixels, other bytes$' said.txt && grep -q '^  note  *was asked for 64 x 32' said.txt
}
case_ "what the record does not hold is told" sized

dated() {
    SOURCE_DATE_EPOCH=86400 cfgen --lossless --output=dated.webp fox || return 1
    [ "$(SOURCE_DATE_EPOCH=86400 cfgen --check --from=dated.webp)" = "$same" ] &&
        exits 1 cfgen --check --from=dated.webp >said.txt
    cat said.txt
    grep -q '^  date  *was 1970-01-02T00:00:00Z, is none' said.txt
}
case_ "a date comes from SOURCE_DATE_EPOCH again" dated

from_image() {
    cfgen --output=a.webp fox && cfgen --init-image=a.webp --keep-scales=2 --output=b.webp fox &&
        says 'made from another image' 65 cfgen --check --from=b.webp && says 'not a WebP file' 65 cfgen --from=q.db &&
        cfgen --metadata=none --output=n.webp fox && says 'n.webp' 66 cfgen --from=n.webp
}
case_ "an image that cannot be made again is refused" from_image

found() { # beside itself first, else on PATH
    mkdir bin empty && cp "$(command -v cfgen-jobs)" bin/ && bin/cfgen-jobs rerun --check 1 &&
        says 'belongs beside this program' 66 env PATH="$tmp/empty" bin/cfgen-jobs rerun --check 1
}
case_ "cfgen is looked for beside the program and on PATH" found
plan_
