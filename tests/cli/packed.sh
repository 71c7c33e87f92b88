#!/bin/bash
# --pack-cache: packed weights in files: the same images, and never a file that is not what it
# should be.
. "${CFGEN_SRCDIR:-.}/tests/cli/init.sh"
unset CFGEN_CPU CFGEN_PACK_CACHE

fresh() { rm -rf model && cp -r "$shipped" model && chmod -R u+w model; }
files() { find "${1:-model}" -name '*.cfpack*' | sed 's|.*/||' | sort; }
image() { # OUT OPTION...
    local out=$1
    shift
    cfgen --model=model --seed=3 --threads=2 --output="$out" "$@" 'red apple'
}
generator() { echo model/generator-*.cfpack; }

same() { # LEVEL: without, while it is made, and with it
    local CFGEN_CPU=$1
    export CFGEN_CPU
    fresh && image off.webp && [ -z "$(files)" ] && image miss.webp --pack-cache=auto -v 2>miss.log &&
        [ "$(grep -c 'packed weights kept' miss.log)" -eq 2 ] && [ "$(files | wc -l)" -eq 2 ] &&
        image hit.webp --pack-cache=auto -v 2>hit.log &&
        [ "$(grep -c 'packed weights mapped' hit.log)" -eq 2 ] && ! grep -q kept hit.log &&
        cmp off.webp miss.webp && cmp off.webp hit.webp && files | grep -q "^generator-$1-"
}
have=$(checkkern --levels)
for level in c avx2 avx512; do
    if echo "$have" | grep -qx $level; then
        case_ "at $level an image is the same without the files, with new ones and from them" same $level
    else
        skip_ "at $level an image is the same without the files, with new ones and from them" "no $level here"
    fi
done

levels_apart() {
    local one
    fresh && CFGEN_CPU=c cfgen-model pack model && one=$(files) &&
        CFGEN_CPU=avx2 cfgen-model pack model && [ "$(files | wc -l)" -eq 4 ] && files | grep -qF "$one"
}
if echo "$have" | grep -qx avx2; then
    case_ "instruction sets have files of their own" levels_apart
else
    skip_ "instruction sets have files of their own" "no avx2 here"
fi

elsewhere() {
    fresh && CFGEN_PACK_CACHE=kept image env.webp && [ -z "$(files)" ] &&
        [ "$(files kept | wc -l)" -eq 2 ] && image env2.webp --pack-cache=kept -v 2>log &&
        grep -q 'mapped: kept/generator-' log && cmp env.webp env2.webp &&
        CFGEN_PACK_CACHE=kept image off.webp --pack-cache=off -v 2>log && ! grep -q packed\ weights log
}
case_ "a directory holds them in place of the model's own, from the option or the environment" elsewhere
case_ "an empty word is refused" says 'pack-cache.*auto' 64 cfgen --pack-cache= x

spoilt() { # HOW...: told, not used, made again
    local file
    fresh && image good.webp --pack-cache=auto && file=$(generator) && cp "$file" good.cfpack &&
        "$@" "$file" && image again.webp --pack-cache=auto -v 2>log && cat log &&
        grep -q 'note: packed weights not used: .*generator-' log &&
        grep -q "packed weights kept: .*/generator-" log && cmp good.webp again.webp &&
        cmp good.cfpack "$file" && image hit.webp --pack-cache=auto -v 2>log &&
        [ "$(grep -c 'weights mapped' log)" -eq 2 ] && cmp good.webp hit.webp
}
cut() { truncate -s -1000 "$1"; }
empty() { : >"$1"; }
text() { echo 'Not Found' >"$1"; }
flip() { printf '\377\377\377\377' | dd of="$1" bs=1 seek=$(($(stat -c %s "$1") - 4000)) conv=notrunc; } # in a sample
foreign() { cp "$(echo model/text-*.cfpack)" "$1"; }
older() { # the same file with another key, as another version would have made it
    local at
    at=$(($(stat -c %s "$1") - 128))
    printf '0000000000' | dd of="$1" bs=1 seek=$at conv=notrunc
}
weights() { cp model/infinity.safetensors "$1"; }
case_ "a file cut short is told, not used and made again" spoilt cut
case_ "so is an empty one" spoilt empty
case_ "so is one of text" spoilt text
case_ "so is one with other bytes" spoilt flip
case_ "so is one of another part" spoilt foreign
case_ "so is one of another version" spoilt older
case_ "so is a file of weights that are not packed" spoilt weights

nowhere() { # a place where nothing can be written: the image is made all the same
    fresh && : >file && image out.webp --pack-cache=file/dir 2>log && cat log &&
        grep -q 'note: packed weights not kept: file/dir/generator-' log && [ -s out.webp ]
}
case_ "where nothing can be written it is told, and the image is made" nowhere
pack_nowhere() { fresh && : >file && ! cfgen-model pack --pack-cache=file/dir model 2>log && grep -q file/dir log; }
case_ "cfgen-model pack, which has nothing else to do, fails there" pack_nowhere

full() { # a disk that takes no megabyte: neither a file nor a part of one stays
    fresh && (ulimit -f 1000 && trap '' XFSZ && image out.webp --pack-cache=auto) 2>log
    cat log
    grep -q 'not kept: .*generator-' log && [ -s out.webp ] && ! files | grep -q generator
}
case_ "a full disk is told and leaves nothing" full

left_behind() { # kill -9 while writing
    fresh && image good.webp --pack-cache=auto && mv "$(generator)" whole.cfpack &&
        head -c 10000 whole.cfpack >"model/$(cd model && echo text-*.cfpack).part" &&
        head -c 10000 whole.cfpack >"$(cfgen-model pack model | sed -n 's/.*kept, //p').part" &&
        rm "$(generator)" && image out.webp --pack-cache=auto && cmp good.webp out.webp &&
        cmp whole.cfpack "$(generator)" && ! files | grep -q 'generator.*part'
}
case_ "what a killed process left is taken over" left_behind

at_once() {
    local i
    fresh
    for i in 1 2 3 4; do image "at$i.webp" --pack-cache=auto 2>"at$i.log" & done
    wait
    cat at?.log
    image calm.webp --pack-cache=auto -v 2>log && [ "$(grep -c 'weights mapped' log)" -eq 2 ] || return 1
    for i in 1 2 3 4; do cmp calm.webp "at$i.webp" || return 1; done
    [ "$(files | wc -l)" -eq 2 ]
}
case_ "processes that begin at once make one whole file, and the same image" at_once

rows() { cfgen-jobs export --db="$1" --format=jsonl | grep -o '"pixel_sha256":"[^"]*"' | sort; }
batch() { # GROUPS-OR-WORKERS OPTION...
    local db=$1
    shift
    queue "$db.sqlite" 'red apple' 'octopus' 'banana' 'penguin' &&
        cfgen-batch --db="$db.sqlite" --output="$db" --model=model --log-file="$db.log" "$@"
}
workers() {
    fresh && batch off --threads=2 && batch groups --threads=2 --pack-cache=auto &&
        grep -q 'packed weights kept.*generator-' groups.log && batch crew --threads=2 --workers=2 --pack-cache=auto &&
        [ "$(grep -c 'packed weights mapped' crew.log)" -eq 2 ] &&
        [ "$(rows off.sqlite)" = "$(rows groups.sqlite)" ] && [ "$(rows off.sqlite)" = "$(rows crew.sqlite)" ]
}
case_ "groups and workers share them, and the images are the same" workers

told() {
    fresh && cfgen-model pack model && touch model/generator-avx512-000000000000.cfpack &&
        cfgen-model inspect model >out && cat out && grep -q 'packed weights ' out && grep -q 'generator-[a-z0-9-]*.cfpack, .*, in use' out &&
        grep -q '000000000000.cfpack, .*of no use here' out &&
        cfgen-model inspect --json model >facts.json &&
        [ "$(sqlite3 :memory: "SELECT count(*) FROM json_each(readfile('facts.json'), '$.packed')")" -eq 3 ] &&
        rm model/generator-avx512-0000*
}
case_ "inspect tells which files are of use" told
verified() {
    cfgen-model verify model >out && grep -q 'packed   ok, 2 files' out && flip "$(generator)" &&
        exits 65 cfgen-model verify model >out 2>err
    cat out
    grep -q 'FAILED, packed weights, which may be removed: .*damaged' out && rm "$(generator)" && cfgen-model verify model
}
case_ "verify compares them" verified
plan_
