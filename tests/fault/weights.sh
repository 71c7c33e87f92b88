#!/bin/bash
# Faults 6 to 8: weights that are cut off, spoilt or of another kind are refused with 65 and by
# name, whether the manifest knows their hash or was made to fit; never a wrong image.
# CFGEN_FAULT_EVERY=1 cuts at every 4 KiB, a number N at every Nth.
. "${CFGEN_SRCDIR:-.}/tests/cli/init.sh"
command -v jq >/dev/null || { echo "1..0 # SKIP no jq"; exit 0; }
every=${CFGEN_FAULT_EVERY:-97}
cp -r "$shipped" good && chmod -R u+w good || exit 99

fit() { # FILE: bind it anew, so that its contents are what is judged
    local sum
    sum=$(sha256sum "m/$1" | cut -d' ' -f1)
    jq --arg file "$1" --arg sum "$sum" '(.. | objects | select(.file? == $file)).sha256 = $sum' \
        good/model.json >m/model.json
}
make_() { rm -f out.webp && cfgen --model=./m --seed=3 --output=out.webp 'red apple' 2>err.log; }
no_image() { # FILE STATUS: refused, named, nothing written
    [ "$2" -eq 65 ] && grep -q -- "${1##*/}" err.log && ! [ -e out.webp ] ||
        { echo "status $2"; cat err.log; return 1; }
}

cut_off() { # FILE
    local size at step=0 cuts=0
    rm -rf m && cp -r good m && size=$(stat -c %s "m/$1") || return 1
    for ((at = 0; at < size; at += 4096)); do
        step=$((step + 1))
        [ $((step % every)) -eq 0 ] || [ $at -eq 0 ] || continue
        cp "good/$1" "m/$1" && truncate -s $at "m/$1" || return 1
        cp good/model.json m/model.json
        make_; no_image "$1" $? || { echo "cut at $at"; return 1; }
        fit "$1" || return 1
        make_; no_image "$1" $? || { echo "cut at $at, the manifest made to fit"; return 1; }
        cuts=$((cuts + 1))
    done
    echo "$cuts cuts"
}

# A bit among the numbers is the hash's to find; one in the header may make another valid file,
# whose image is then that file's: either refused, or made without harm.
spoilt() { # FILE
    local size at i got
    rm -rf m && cp -r good m && size=$(stat -c %s "m/$1") || return 1
    for i in $(seq 1 $((400 / every + 6))); do
        at=$(((i * 2654435761 + 12345) % size))
        [ $((i % 2)) -eq 0 ] || at=$((at % 4096))
        cp "good/$1" "m/$1" && cp good/model.json m/model.json &&
            printf "\\x$(printf %02x $((i * 37 % 256)))" | dd of="m/$1" bs=1 seek=$at conv=notrunc 2>/dev/null || return 1
        cmp -s "good/$1" "m/$1" && continue
        make_; no_image "$1" $? || { echo "byte $at"; return 1; }
        fit "$1" || return 1
        make_
        got=$?
        [ $got -eq 0 ] || [ $got -eq 65 ] || [ $got -eq 66 ] || [ $got -eq 70 ] ||
            { echo "byte $at, the manifest made to fit: status $got"; cat err.log; return 1; }
        ! grep -qE 'Sanitizer|runtime error' err.log || { cat err.log; return 1; }
    done
}

for file in infinity.safetensors vae.safetensors text_encoder/model.safetensors spm.model; do
    case_ "$file cut off anywhere is refused and named" cut_off $file
    case_ "$file with bytes changed never makes a wrong image" spoilt $file
done

swapped() {
    rm -rf m && cp -r good m && cp good/vae.safetensors m/infinity.safetensors || return 1
    make_; no_image infinity.safetensors $? || return 1
    fit infinity.safetensors || return 1
    make_; no_image infinity.safetensors $?
}
case_ "a pair swapped is refused, also when the manifest was made to fit" swapped

foreign() { # a pickle with code, a GGUF head: refused, and nothing of it runs
    rm -rf m && cp -r good m || return 1
    printf 'cos\nsystem\n(S"touch ran"\ntR.' >m/infinity.safetensors && fit infinity.safetensors || return 1
    make_; no_image infinity.safetensors $? && ! [ -e ran ] && ! [ -e m/ran ] || return 1
    { printf 'GGUF\3\0\0\0'; head -c 4096 /dev/zero; } >m/infinity.safetensors && fit infinity.safetensors || return 1
    make_; no_image infinity.safetensors $?
}
case_ "a pickle or GGUF in the place of weights is refused and nothing runs" foreign
plan_
