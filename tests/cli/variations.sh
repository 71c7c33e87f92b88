#!/bin/bash
# Images that begin with the scales of another one, previews, the sentence about faces, sizes
# by name and the type of keys and values: made, told, and made again.
. "${CFGEN_SRCDIR:-.}/tests/cli/init.sh"
export CFGEN_DB=q.db
same='identical pixels, identical bytes'
pixels() { cfgen --meta="$1" | jq -r .pixel_sha256; }

cfgen --lossless --output=fox.webp fox && cfgen --output=owl.webp owl || exit 99
# A picture of another shape: what covers 32 x 32 of it is its middle.
printf 'P6\n40 24\n255\n' >wide.ppm
head -c 2880 /dev/zero | tr '\0' '\310' >>wide.ppm
cwebp -quiet -lossless wide.ppm -o wide.webp || exit 99

# ---- one image ----

all_kept() { # the same picture whatever the prompt: all of it comes from the image
    cfgen --init-image=fox.webp --keep-scales=5 --output=a.webp owl &&
        cfgen --init-image=fox.webp --keep-scales=5 --output=b.webp 'red apple' &&
        [ "$(pixels a.webp)" = "$(pixels b.webp)" ] && [ "$(pixels a.webp)" != "$(pixels owl.webp)" ]
}
some_kept() {
    cfgen --init-image=fox.webp --keep-scales=2 --output=c.webp owl &&
        [ "$(pixels c.webp)" != "$(pixels a.webp)" ] && [ "$(pixels c.webp)" != "$(pixels owl.webp)" ]
}
any_size() {
    cfgen --init-image=wide.webp --keep-scales=4 --output=d.webp owl &&
        [ "$(cfgen --meta=d.webp | jq -r .recipe.init_sha256)" = "$(sha256sum wide.webp | cut -d' ' -f1)" ] &&
        [ "$(cfgen --meta=d.webp | jq -r .recipe.keep_scales)" = 4 ] && ! cfgen --meta=d.webp | grep -q wide
}
again() {
    says 'give it with --init-image' 65 cfgen --from=d.webp --check &&
        [ "$(cfgen --from=d.webp --init-image=wide.webp --check)" = "$same" ] &&
        says 'SHA-256 .* expected' 65 cfgen --from=d.webp --init-image=fox.webp --check
}
png() { # in cfgen and in a queue
    printf '\211PNG\r\n\032\n' >x.png && printf '\377\330\377\340' >photo &&
        says "x.png: a PNG file, expected WebP, which 'cwebp -lossless x.png -o x.webp' makes" 65 cfgen --init-image=x.png --keep-scales=1 owl &&
        says "photo: a JPEG file, .*'cwebp -lossless ./photo -o ./photo.webp'" 65 cfgen --init-image=./photo --keep-scales=1 owl || return 1
    cfgen-jobs init --db=png.db && echo owl | cfgen-jobs add --db=png.db --init-image=x.png --keep-scales=1 - &&
        exits 1 cfgen-batch --db=png.db --output=png --quiet &&
        sqlite3 png.db 'SELECT message FROM attempt' | grep -F "'cwebp -lossless x.png -o x.webp' makes"
}
suffix() {
    says 'note: a.PNG will be a WebP file' 0 cfgen --output=a.PNG fox && says 'note: a.jpeg will be' 0 cfgen --from=fox.webp --output=a.jpeg &&
        says 'note: a.jpg will be' 0 cfgen --output=a.jpg fox
}
case_ "with all scales kept the prompt does not count" all_kept
case_ "with some kept the image is a variation" some_kept
case_ "an image of any size is taken, and the record tells its hash and not its name" any_size
case_ "a variation is made again from the same image, and from no other" again
case_ "a PNG is refused with what to do" png
case_ "a name for PNG or JPEG gets its WebP with a note" suffix
case_ "more scales than there are, are refused" says 'keep 6 scales: this size has 5' 65 cfgen --init-image=fox.webp --keep-scales=6 owl
case_ "scales without an image make no sense" says 'go together' 64 cfgen --keep-scales=2 owl

previewed() {
    cfgen --previews --lossless --output=seen.webp fox && cmp seen.webp fox.webp &&
        [ "$(echo seen.s*.webp)" = "seen.s00.webp seen.s01.webp seen.s02.webp seen.s03.webp seen.s04.webp" ] || return 1
    local f
    for f in seen seen.s04 seen.s03; do dwebp -quiet "$f.webp" -ppm -o "$f.ppm" || return 1; done
    cmp seen.ppm seen.s04.ppm && ! cmp -s seen.ppm seen.s03.ppm && [ "$(head -c 9 seen.s03.ppm | tr '\n' ' ')" = 'P6 32 32 ' ]
}
case_ "previews change nothing, and the last one is the image" previewed
case_ "previews have no place beside standard output" says 'no place' 64 cfgen --previews --output=- fox

scales() { # as told with -v
    seq 1 5 | sed 's/.*/cfgen: scale & of 5, NxN tokens, N s/'
}
named() {
    local log
    for log in "-v --output=told.webp fox" "-v --from=fox.webp --check"; do
        # shellcheck disable=SC2086
        cfgen $log 2>&1 >/dev/null | grep '^cfgen: scale' |
            sed -E 's/[0-9]+x[0-9]+ tokens, [0-9]+\.[0-9] s$/NxN tokens, N s/' >told.log && scales | cmp - told.log || return 1
    done
}
quiet() { [ -z "$(cfgen --output=told.webp fox 2>&1)" ]; }
redrawn() { # on a terminal: the scale done last, in one line that is gone in the end
    TERM=xterm script -qec 'cfgen --output=told.webp fox' /dev/null </dev/null >tty.log && grep -q 'scale 5 of 5, ' tty.log &&
        [ "$(tr '\r' '\n' <tty.log | tail -1)" = $'\e[K' ] && ! TERM=dumb script -qec 'cfgen --output=told.webp fox' /dev/null </dev/null | grep -q scale
}
case_ "told to, cfgen names each scale when it is done" named
case_ "without a terminal and untold it says nothing" quiet
if command -v script >/dev/null; then
    case_ "a terminal shows the scale done last, a dumb one nothing" redrawn
else
    skip_ "a terminal shows the scale done last, a dumb one nothing" "no script(1)"
fi

positive() {
    cfgen --positive-prompt --output=m.webp 'a man' && cfgen --output=long.webp \
        'a man. very smooth faces, good looking faces, face to the camera, perfect facial features' &&
        [ "$(pixels m.webp)" = "$(pixels long.webp)" ] && cfgen --meta=m.webp >m.json &&
        [ "$(jq -r .prompt m.json)" = 'a man' ] && jq -e .recipe.positive_prompt m.json &&
        jq -r .prompt_encoded m.json | grep -q '^a man\. very smooth' && [ "$(cfgen --from=m.webp --check)" = "$same" ]
}
not_positive() { # neither what names nobody, nor the negative prompt
    cfgen --positive-prompt --lossless --negative='a man' --output=n.webp fox &&
        cfgen --lossless --negative='a man' --output=o.webp fox && [ "$(pixels n.webp)" = "$(pixels o.webp)" ] &&
        ! cfgen --meta=n.webp | grep -q prompt_encoded
}
case_ "the sentence about faces is encoded and told, and the prompt stays" positive
case_ "what names nobody stays as it is, and so does the negative prompt" not_positive

kv() {
    cfgen --kv-type=bf16 --output=kv.webp fox && [ "$(cfgen --meta=kv.webp | jq -r .recipe.kv_type)" = bf16 ] &&
        [ "$(cfgen --meta=fox.webp | jq -r .recipe.kv_type)" = f32 ] &&
        [ "$(cfgen --from=kv.webp --check)" = "$same" ] && cfgen --meta=kv.webp | jq -r .weights | grep -q '^transformer bf16 packed, text encoder '
}
case_ "the type of keys and values is told and made again" kv
case_ "a model with one size has no names for it" says 'one size of its own' 65 cfgen --size=3:2@0.25M fox

# ---- in a queue ----

{ cfgen-jobs init && mkdir in && cp wide.webp fox.webp in/ && cd in && echo owl | cfgen-jobs add --db=../q.db --init-image=wide.webp --keep-scales=4 - &&
    cd .. && echo '{"prompt":"owl","recipe":{"init_image":"in/fox.webp","keep_scales":2}}' | cfgen-jobs add - &&
    echo '{"prompt":"owl","recipe":{"init_image":"in/none.webp","keep_scales":2}}' | cfgen-jobs add - &&
    echo 'a man' | cfgen-jobs add --positive-prompt --kv-type=bf16 - &&
    echo owl | cfgen-jobs add --size=1M - && echo fox | cfgen-jobs add --lossless -; } >/dev/null || exit 99
exits 1 cfgen-batch --quiet 2>log.txt || exit 99
output() { sqlite3 q.db "SELECT pixel_sha256 FROM output WHERE job_id=$1"; }
cause() { sqlite3 q.db "SELECT code || ' ' || message FROM attempt WHERE job_id=$1"; }

as_alone() {
    [ "$(output 1)" = "$(pixels d.webp)" ] && [ "$(output 2)" = "$(pixels c.webp)" ] && [ "$(output 6)" = "$(pixels fox.webp)" ]
}
told() { cause 3 && cause 3 | grep -q 'ENOENT.*in/none.webp' && cause 5 && cause 5 | grep -q 'ERANGE.*one size of its own'; }
row_again() {
    local i
    for i in 1 2 4; do [ "$(cfgen-jobs rerun --check $i)" = "$same" ] || return 1; done
}
stored() { cfgen-jobs show 1 | grep -q '"init_image":"in/wide.webp"' || cfgen-jobs show 1 | grep -q 'in/wide.webp'; }
changed() { # since the job was added
    cp in/wide.webp keep.webp && cp in/fox.webp in/wide.webp && says 'SHA-256 .* expected' 65 cfgen-jobs rerun --check 1
    local got=$?
    cp keep.webp in/wide.webp
    return $got
}
others_default() { # a worker's own, for jobs that name none; a rerun has to be told
    queue kv.db fox && cfgen-batch --db=kv.db --output=kv --quiet --kv-type=bf16 &&
        [ "$(cfgen --meta="kv/$(sqlite3 kv.db 'SELECT path FROM output')" | jq -r .recipe.kv_type)" = bf16 ] &&
        [ "$(sqlite3 kv.db 'SELECT pixel_sha256 FROM output')" = "$(pixels kv.webp)" ] &&
        [ "$(cfgen-jobs rerun --db=kv.db --check --kv-type=bf16 1)" = "$same" ]
}
case_ "jobs start from images as cfgen does, and beside others" as_alone
case_ "an image that is missing, and a size that the model has not, fail their jobs with the cause" told
case_ "the row has the path from its directory" stored
case_ "jobs with extras are made again" row_again
case_ "an image that changed since it was added is refused" changed
case_ "a worker's type of keys and values is for jobs that name none" others_default
plan_
