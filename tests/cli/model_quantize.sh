#!/bin/bash
# cfgen-model quantize: the shipped model in every weight type, what it costs in logits, and
# what is refused.
. "${CFGEN_SRCDIR:-.}/tests/cli/init.sh"

quantize() { cfgen-model quantize "$@"; }
paints() { cfgen --model="./$1" -o "$1.webp" 'penguin on a blue background' && [ -s "$1.webp" ]; }
none() { [ ! -e "$1" ] && [ ! -e "$1.partial" ] || { ls -d "$1"*; return 1; }; }
whole() { # every file is the one that the manifest names
    (cd "$1" && jq -r '.parts[] | if .files then .files[] else . end | "\(.sha256)  \(.file)"' model.json |
        sha256sum --quiet -c -)
}

each() { quantize --dtype="$1" --group="$2" "$shipped" "p-$1-$2" && whole "p-$1-$2" && paints "p-$1-$2"; }
case_ "bf16 paints" each bf16 64
case_ "f16 paints" each f16 64
case_ "f32 paints" each f32 64
case_ "int8 paints" each int8 64
case_ "4 bits in groups of 32 paint" each 4bit 32
case_ "4 bits in groups of 64 paint" each 4bit 64

kept() {
    for part in vae.safetensors spm.model text_encoder/model.safetensors text_encoder/config.json; do
        cmp "$shipped/$part" "p-int8-64/$part" || return 1
    done
    cmp "$shipped/MODEL_CARD.md" p-int8-64/MODEL_CARD.md &&
        diff <(jq -S '{infinity, vae, sizes, text, sampling}' "$shipped/model.json") \
            <(jq -S '{infinity, vae, sizes, text, sampling}' p-int8-64/model.json) &&
        jq -e --arg from "$shipped_name" '.name == $from + "-int8" and .hold == "map" and .source.quantized.from == $from' p-int8-64/model.json &&
        jq -e '.hold == null' p-bf16-64/model.json && quantize --dtype=f16 --hold=map "$shipped" h && paints h &&
        jq -e '.hold == "map"' h/model.json
}
case_ "only the matrices change, and the manifest says from what" kept

# The model is bf16: there and back changes nothing.
pixels() { cfgen --meta "$1" | jq -r .pixel_sha256; }
round_trip() {
    quantize --dtype=bf16 p-f32-64 back && cmp back/infinity.safetensors p-bf16-64/infinity.safetensors &&
        [ "$(pixels p-bf16-64.webp)" = "$(pixels p-f32-64.webp)" ]
}
case_ "bf16 to f32 and back is the same file, and f32 of it the same picture" round_trip

threads() {
    quantize --dtype=4bit --threads=1 "$shipped" t1 && quantize --dtype=4bit --threads=3 "$shipped" t3 && diff -r t1 t3
}
case_ "the bytes do not depend on the threads" threads

encoder() {
    quantize --dtype=int8 --text-dtype=4bit --group=32 "$shipped" e && whole e && paints e &&
        grep -aq weight_scale e/text_encoder/model.safetensors &&
        [ "$(stat -c %s e/text_encoder/model.safetensors)" -lt "$(stat -c %s "$shipped/text_encoder/model.safetensors")" ]
}
case_ "the text encoder changes when it is asked to" encoder

# overall LIMIT FILE: the last line's relative error is below the limit, and the share of
# bits is one.
overall() {
    awk -F'|' -v most="$1" '$2 ~ /all/ { seen = 1; l2 = $4 + 0; bits = $5 + 0 }
        END { exit !(seen && l2 <= most && bits >= 0 && bits <= 100) }' "$2" || { cat "$2"; return 1; }
}
report() {
    quantize --dtype=bf16 --report "$shipped" r-bf16 >bf16.txt && overall 0 bf16.txt &&
        quantize --dtype=int8 --report --prompt='red apple' "$shipped" r-int8 >int8.txt && overall 0.03 int8.txt &&
        ! overall 0.0001 int8.txt >/dev/null && grep -q '1 prompts at 32x32' int8.txt &&
        quantize --dtype=4bit --group=32 --report "$shipped" r-4bit >4bit.txt && overall 0.3 4bit.txt &&
        ! overall 0.03 4bit.txt >/dev/null && [ "$(grep -c '^| [1-5] ' 4bit.txt)" -eq 5 ] &&
        cmp r-4bit/MODEL_CARD.md "$shipped/MODEL_CARD.md"
}
case_ "the report tells nothing for what is exact, little for int8 and more for 4 bits" report

card() {
    quantize --dtype=int8 --card "$shipped" c >card.txt && cmp <(tail -n "$(wc -l <card.txt)" c/MODEL_CARD.md) card.txt &&
        cmp <(head -n "$(wc -l <"$shipped/MODEL_CARD.md")" c/MODEL_CARD.md) "$shipped/MODEL_CARD.md"
}
case_ "the report stands at the end of the card when it is asked to" card

again() {
    says 'quantized already' 65 quantize --dtype=4bit p-int8-64 x &&
        says 'quantized already' 65 quantize --dtype=int8 p-4bit-32 x && none x
}
case_ "what is quantized is not quantized again" again

damaged() {
    cp -r "$shipped" d && printf X | dd of=d/vae.safetensors bs=1 seek=90000 conv=notrunc 2>/dev/null &&
        says 'vae.safetensors: sha256' 65 quantize --dtype=int8 d x &&
        says 'no-such' 66 quantize --dtype=int8 no-such x && none x
}
case_ "a damaged or missing model is refused, and leaves nothing" damaged

occupied() {
    cp -r p-bf16-64 o && cp o/model.json was.json && says force 73 quantize --dtype=int8 "$shipped" o &&
        cmp o/model.json was.json && quantize --dtype=int8 --force "$shipped" o && whole o && none o.old && none o.partial &&
        jq -e --arg from "$shipped_name" '.name == $from + "-int8"' o/model.json
}
case_ "a model that is there is kept, or with --force replaced" occupied

itself() { # replaced by its own other form
    cp -r "$shipped" i && quantize --dtype=int8 --force i i && whole i && paints i && none i.old && none i.partial
}
case_ "a model can be replaced by itself" itself

too_large() { # as ulimit says
    (ulimit -f 1000 && says 'large|space' 74 quantize --dtype=f32 "$shipped" x) && none x
}
case_ "a file that may not grow is told, and nothing is left" too_large

usage() {
    says 'dtype is missing' 64 quantize "$shipped" x && says 'two directories' 64 quantize --dtype=int8 "$shipped" &&
        says '32 or 64' 64 quantize --dtype=4bit --group=33 "$shipped" x && says 'expected f32' 64 quantize --dtype=q4 "$shipped" x && none x
}
case_ "a wrong call is told" usage
plan_
