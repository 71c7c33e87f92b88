#!/bin/bash
# cfgen-model synth: models of random weights that run, are the same for the same seed, and
# are there whole or not at all.
. "${CFGEN_SRCDIR:-.}/tests/cli/init.sh"

small='--geometry=infinity-125m --embed-dim=64 --depth=2 --num-heads=2 --mlp-hidden=128
    --base-channels=24 --text-width=64 --text-layers=1 --text-vocab=4100'
synth() { cfgen-model synth $small "$@"; } # OPTION... DIR
paints() { cfgen --model="./$1" --size=256x256 -o "$1.webp" 'red apple' && [ -s "$1.webp" ]; }
none() { [ ! -e "$1" ] && [ ! -e "$1.partial" ] || { ls -d "$1"*; return 1; }; }

# runs TYPE OF-THE-TEXT-ENCODER
runs() { synth --dtype="$1" --group=32 --text-dtype="$2" "m-$1-$2" && paints "m-$1-$2"; }
case_ "a model in f32 paints" runs f32 f32
case_ "a model in f16 paints" runs f16 bf16
case_ "a model in bf16 paints" runs bf16 f16
case_ "a model in int8 paints" runs int8 int8
case_ "a model in 4 bits paints" runs 4bit 4bit

qwen() {
    synth --text-encoder=qwen2-1.5b q && paints q &&
        jq -e '.text.tokenizer.type == "bpe"' q/model.json
}
case_ "a model that reads a Qwen2 paints" qwen

same() {
    synth --seed=7 --threads=1 s1 && synth --seed=7 --threads=3 s2 && diff -r s1 s2 &&
        synth --seed=8 s3 && ! cmp -s s1/infinity.safetensors s3/infinity.safetensors
}
case_ "the same seed gives the same files on any number of threads" same

tiny_types() { # what became of the types
    jq -e '.hold == "map"' m-int8-int8/model.json &&
        grep -aq 'sa.mat_qkv.weight_scale' m-int8-int8/infinity.safetensors &&
        ! grep -aq 'weight_scale' m-bf16-f16/infinity.safetensors &&
        [ "$(stat -c %s m-4bit-4bit/infinity.safetensors)" -lt "$(stat -c %s m-int8-int8/infinity.safetensors)" ] &&
        [ "$(stat -c %s m-int8-int8/infinity.safetensors)" -lt "$(stat -c %s m-bf16-f16/infinity.safetensors)" ]
}
case_ "quantized matrices bring their scales and are smaller" tiny_types

packed() {
    synth --dtype=f16 --text-dtype=bf16 --hold=pack packed && paints packed && jq -e '.hold == null' packed/model.json &&
        cmp packed/infinity.safetensors m-f16-bf16/infinity.safetensors
}
case_ "the same weights may be packed" packed

encoders() {
    cfgen-model synth --geometry=flan-t5-xl --text-width=64 --text-layers=1 --text-vocab=4100 t5 &&
        [ "$(cd t5 && echo *)" = 'config.json model.safetensors spiece.model' ] &&
        cfgen-model synth --geometry=qwen2-1.5b --text-width=128 --text-layers=1 --text-vocab=300 qw &&
        [ "$(cd qw && echo *)" = 'config.json model.safetensors tokenizer.json' ]
}
case_ "a text encoder alone is a folder as they are downloaded" encoders

rows() {
    says '--text-vocab=1000: .* 4096 ids' 64 synth --text-vocab=1000 x && none x &&
        says '--text-vocab=256: .* 257 ids' 64 synth --text-encoder=qwen2-1.5b --text-vocab=256 x && none x
}
case_ "an encoder with fewer rows than its vocabulary has ids is refused" rows

unknown() {
    says 'infinity-125m.*infinity-2b.*infinity-8b.*flan-t5-xl.*qwen2-1.5b' 64 cfgen-model synth --geometry=infinity-3b x &&
        says 'flan-t5-xl.*qwen2-1.5b' 64 cfgen-model synth $small --text-encoder=t5 x &&
        says 'f32, f16, bf16, int8 or 4bit' 64 synth --dtype=int4 x && none x
}
case_ "unknown names list the known ones" unknown

impossible() {
    says 'no geometry: .*head size' 64 synth --embed-dim=66 x &&
        says 'word_embed|mat_kv|groups of 64' 65 synth --embed-dim=96 --dtype=4bit --group=64 x &&
        says '32 or 64' 64 synth --dtype=4bit --group=48 x &&
        says 'geometry is missing' 64 cfgen-model synth x && says 'one directory' 64 synth && none x
}
case_ "what is no geometry is refused and leaves nothing" impossible

occupied() {
    synth o && cp o/model.json was.json && says 'force' 73 synth --seed=3 o && cmp o/model.json was.json &&
        synth --seed=3 --force o && ! cmp -s o/model.json was.json && none o.old && none o.partial &&
        mkdir home && touch home/letter && says 'no model' 73 synth --force home && [ -e home/letter ]
}
case_ "a directory that is there is kept, or with --force replaced if it is a model" occupied

stopped() {
    local sig
    for sig in TERM HUP; do
        ended $sig 'gone.partial/text_encoder' cfgen-model synth $small --embed-dim=1024 --depth=24 --num-heads=8 gone && none gone || return 1
    done
    synth keep && ended TERM 'keep.partial/text_encoder' cfgen-model synth $small --embed-dim=1024 --depth=24 --num-heads=8 --force keep &&
        [ ! -e keep.partial ] && cfgen-model verify keep >/dev/null
}
case_ "a signal that ends it takes what is half made along, and a model that was there stays" stopped
ignored() { (trap '' HUP; cfgen-model synth $small nohup & i=$!; sleep 0.05; kill -HUP $i; wait $i) && cfgen-model hash nohup; }
case_ "a signal that was ignored from the start stays so" ignored

no_vocabulary() {
    mkdir -p none && says "vocabulary: .*$shipped_name" 66 env CFGEN_MODEL_PATH="$tmp/none" cfgen-model synth $small x && none x
}
if [ -e /usr/local/share/cfgen/models/$shipped_name/model.json ] || [ -e /usr/share/cfgen/models/$shipped_name/model.json ]; then
    skip_ "without an installed model there is no vocabulary for a T5, which is told" "a model is installed"
else
    case_ "without an installed model there is no vocabulary for a T5, which is told" no_vocabulary
fi

full_disk() {
    mkdir full && mount -t tmpfs -o size=4m tmpfs full && says 'MB|bytes|GB' 74 synth full/m &&
        [ -z "$(ls full)" ] && head -c 3900000 /dev/zero >full/ballast &&
        says 'space|bytes' 74 cfgen-model synth --geometry=qwen2-1.5b --text-width=128 --text-layers=1 full/q &&
        [ "$(ls full)" = ballast ]
}
cleanup() { umount "$tmp/full" "$tmp/probe" 2>/dev/null; }
if mkdir probe && mount -t tmpfs -o size=64k tmpfs probe 2>/dev/null; then
    umount probe
    case_ "a full disk is told before it is full, and nothing is left" full_disk
else
    skip_ "a full disk is told before it is full, and nothing is left" "no right to mount a small file system"
fi
plan_
