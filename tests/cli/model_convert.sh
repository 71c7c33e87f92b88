#!/bin/bash
# Files as people download them become a model that runs, with the same numbers; what does
# not belong together, is missing or damaged is refused with the reason, and nothing that
# looks like a model is left.
. "${CFGEN_SRCDIR:-.}/tests/cli/init.sh"
gold=$src/tests/golden
inf=$gold/infinity
tool=model_tool

# convert OUT OPTION...: quietly; what it told is in told.
convert() {
    local out=$1
    shift
    cfgen-model convert "$@" "$out" >told 2>said || { cat told said; return 1; }
}
# refuses PATTERN STATUS OPTION...: with that message, and leaves nothing.
refuses() {
    local pattern=$1 want=$2
    shift 2
    says "$pattern" "$want" cfgen-model convert "$@" refused >told && none refused
}
none() { [ ! -e "$1" ] && [ ! -e "$1.partial" ] || { echo "left:"; ls -ad "$1"*; return 1; }; }
tells() { grep -qE -- "$1" told || { echo "no /$1/ in:"; cat told; return 1; }; }
# whole DIR: every file of the manifest is there with its hash, and no other.
whole() {
    (cd "$1" && jq -r '.parts[] | if .files then .files[] else . end | "\(.sha256)  \(.file)"' model.json >../sums &&
        sha256sum --quiet -c ../sums &&
        [ "$(find . -type f | wc -l)" -eq $(($(wc -l <../sums) + 1)) ]) || { ls -aR "$1"; return 1; }
}
runs() { # DIR SIZE
    cfgen --model="./$1" --size="$2" -o "$1.webp" 'red apple' 2>said && [ -s "$1.webp" ] || { cat said; return 1; }
}

# Encoders and transformers of matching widths, where the recorded ones have none.
small='--geometry=infinity-125m --embed-dim=64 --depth=4 --num-heads=4 --mlp-hidden=64 --bits=16
    --base-channels=32 --text-layers=1 --text-vocab=4096 --dtype=f32 --text-dtype=f32'
few() { # a tokenizer of 310 ids, for encoders with few rows
    local from=$gold/textenc/tok-bpe4k
    mkdir few && jq '.model.vocab |= with_entries(select(.value < 310)) | .model.merges |= .[:54] | .added_tokens = []' \
        "$from/tokenizer.json" >few/tokenizer.json && jq 'with_entries(select(.value < 310))' "$from/vocab.json" >few/vocab.json &&
        head -n 55 "$from/merges.txt" >few/merges.txt && jq '.added_tokens_decoder = {} | .pad_token = null | .eos_token = null' \
        "$from/tokenizer_config.json" >few/tokenizer_config.json
}
make_all() {
    cfgen-model synth --geometry=flan-t5-xl --text-width=256 --text-layers=2 --text-vocab=4096 \
        --text-dtype=f32 t5 && cp "$gold/textenc/spm-unigram-t5/spiece.model" t5 &&
        cfgen-model synth $small --text-width=48 w48 && cfgen-model synth $small --text-width=64 w64 &&
        for e in t5-tiny qwen2-tiny-tied qwen2-tiny-sharded qwen3-tiny; do
            mkdir $e && cp "$gold/textenc/$e"/config.json "$gold/textenc/$e"/model* $e || return 1
        done && cp "$gold/textenc/spm-unigram-t5/spiece.model" t5-tiny &&
        cp "$gold/textenc/tok-bpe4k"/{tokenizer,tokenizer_config}.json qwen2-tiny-tied &&
        few && cp few/tokenizer.json few/tokenizer_config.json qwen3-tiny &&
        cp few/vocab.json few/merges.txt few/tokenizer_config.json qwen2-tiny-sharded
}
make_all >made 2>&1 || { cat made; exit 99; }
two=(--transformer="$inf/inf-tiny-2b.safetensors" --vae="$inf/vae-p16-d16.safetensors" --text-encoder=t5)
eight=(--transformer="$inf/inf-tiny-8b.safetensors" --vae="$inf/vae-p8-d14.safetensors" --text-encoder=t5)
own=(--scales=1x1,2x2,4x4,6x6,8x8 --rope-grid=64x64 --max-tokens=31 --lowercase --cfg=2 --tau=0.3 --top-k=0 --top-p=0)
pilot=(--transformer="$shipped/infinity.safetensors" --vae="$shipped/vae.safetensors" --text-encoder="$shipped/text_encoder"
    --tokenizer="$shipped/spm.model" "${own[@]}")

# ---- what goes in comes out ----

two() {
    convert m2b "${two[@]}" && cp told told2 && whole m2b && $tool same "$inf/inf-tiny-2b.safetensors" m2b/infinity.safetensors &&
        $tool same "$inf/vae-p16-d16.safetensors" m2b/vae.safetensors &&
        $tool same t5/model.safetensors m2b/text_encoder/model.safetensors &&
        cmp t5/config.json m2b/text_encoder/config.json && cmp t5/spiece.model m2b/spiece.model &&
        [ "$(jq -c '[.infinity.spatial_patchify, .infinity.bits, .vae.patch]' m2b/model.json)" = '[false,16,16]' ] &&
        runs m2b 256x256
}
eight() {
    convert m8b "${eight[@]}" && cp told told8 && whole m8b && $tool same "$inf/inf-tiny-8b.safetensors" m8b/infinity.safetensors &&
        $tool same "$inf/vae-p8-d14.safetensors" m8b/vae.safetensors &&
        [ "$(jq -c '[.infinity.spatial_patchify, .infinity.bits, .vae.patch]' m8b/model.json)" = '[true,14,8]' ] &&
        jq -e '.sampling.cfg == 3 and .sampling.tau == 1' m8b/model.json && runs m8b 256x256
}
own() {
    convert mp "${pilot[@]}" && whole mp && $tool same "$shipped/infinity.safetensors" mp/infinity.safetensors &&
        $tool same "$shipped/vae.safetensors" mp/vae.safetensors &&
        $tool same "$shipped/text_encoder/model.safetensors" mp/text_encoder/model.safetensors &&
        for section in infinity vae sizes text sampling; do
            [ "$(jq -S ".$section" mp/model.json)" = "$(jq -S ".$section" "$shipped/model.json")" ] || return 1
        done
}
case_ "a 2B-style transformer, its VAE and a T5 folder become a model with the same tensors, that runs" two
case_ "an 8B-style transformer is recognized as patchified, and runs" eight
case_ "the shipped model's own parts give its own manifest" own
sound_models() { cfgen-model verify m2b m8b mp >told 2>said || { cat told said; return 1; }; }
case_ "cfgen-model verify finds converted models sound" sound_models
images() { # the encoder of a VAE came along, or its absence is told
    cfgen --model=./m8b --size=256x256 --init-image=m8b.webp --keep-scales=3 -o varied.webp 'red apple' 2>/dev/null && [ -s varied.webp ] &&
        says 'no encoder' 65 cfgen --model=./m2b --size=256x256 --init-image=m8b.webp --keep-scales=3 -o none.webp 'red apple' &&
        grep -q 'with its encoder' told8 && grep -q 'without an encoder' told2
}
case_ "a converted VAE keeps its encoder, so that images can be varied" images
batch() {
    queue q.sqlite 'red apple' 'octopus' && cfgen-batch --db=q.sqlite --model=./mp --output=img 2>/dev/null &&
        [ "$(find img -name '*.webp' | wc -l)" -eq 2 ]
}
case_ "cfgen-batch runs a converted model" batch

pth() {
    $tool wrap t.pth trainer.gpt_fsdp="$inf/inf-tiny-2b.safetensors" trainer.opt=+exp_avg &&
        $tool wrap v.pth vae="$inf/vae-p16-d16.safetensors" vae=+quantizer.lfq.mask ema="$inf/vae-p16-d16.safetensors" &&
        mkdir -p t5bin && cp t5/config.json t5/spiece.model t5bin && $tool shard pth t5bin t5/model.safetensors &&
        convert mpth --name=m2b --transformer=t.pth --vae=v.pth --text-encoder=t5bin && whole mpth &&
        for f in infinity vae text_encoder/model; do cmp "m2b/$f.safetensors" "mpth/$f.safetensors" || return 1; done &&
        [ "$(jq -S 'del(.source)' m2b/model.json)" = "$(jq -S 'del(.source)' mpth/model.json)" ]
}
case_ "PyTorch files, nested and in shards, give the same bytes as safetensors" pth
shards() {
    mkdir -p tdir && $tool shard safetensors tdir "$inf/inf-tiny-2b.safetensors" &&
        convert msh "${two[@]}" --transformer=tdir && cmp m2b/infinity.safetensors msh/infinity.safetensors &&
        [ "$(jq -r '.source.transformer.files | length' msh/model.json)" -eq 3 ]
}
case_ "a sharded folder gives the same bytes, and its files are recorded" shards
plain() {
    $tool wrap --plain plain.safetensors "$inf/vae-p8-d14.safetensors" &&
        convert mplain "${eight[@]}" --vae=plain.safetensors && cmp m8b/vae.safetensors mplain/vae.safetensors
}
case_ "a VAE in the plain spelling gets the original names" plain
sources() {
    [ "$(jq -r '.source.transformer.files[0].sha256' mpth/model.json)" = "$(sha256sum <t.pth | cut -d' ' -f1)" ] &&
        [ "$(jq -r '.source.transformer.files[0].file, .source.transformer.key' mpth/model.json | paste -sd' ')" = 't.pth trainer.gpt_fsdp' ] &&
        [ "$(jq -r '.source.vae.key' mpth/model.json)" = vae ]
}
case_ "where the parts came from is recorded with hashes" sources

encoder() { # FOLDER WIDTH
    convert "e-$1" --transformer="w$2/infinity.safetensors" --vae="w$2/vae.safetensors" --text-encoder="$1" &&
        whole "e-$1" && runs "e-$1" 256x256
}
qwens() {
    encoder qwen2-tiny-tied 64 && encoder qwen2-tiny-sharded 48 && encoder qwen3-tiny 48 &&
        [ "$(jq -r .text.tokenizer.type e-qwen3-tiny/model.json)" = bpe ] &&
        $tool same qwen2-tiny-tied/model.safetensors e-qwen2-tiny-tied/text_encoder/model.safetensors &&
        $tool same qwen3-tiny/model.safetensors e-qwen3-tiny/text_encoder/model.safetensors &&
        [ -f e-qwen2-tiny-sharded/tokenizer/merges.txt ]
}
case_ "Qwen2 and Qwen3 folders, sharded or tied, with either layout of the tokenizer, give models that run" qwens
case_ "a T5 folder gives a model that runs" encoder t5-tiny 48
decoder() {
    $tool wrap t5full.safetensors t5-tiny/model.safetensors +lm_head.weight +decoder.final_layer_norm.weight &&
        mkdir -p t5full && mv t5full.safetensors t5full/model.safetensors && cp t5-tiny/{config.json,spiece.model} t5full &&
        convert mfull --transformer=w48/infinity.safetensors --vae=w48/vae.safetensors --text-encoder=t5full &&
        cmp e-t5-tiny/text_encoder/model.safetensors mfull/text_encoder/model.safetensors
}
case_ "decoder and head of an encoder are left out" decoder
golden() {
    mkdir -p g/textenc && cp -r "$inf" g/infinity && chmod -R u+w g && cp m2b/infinity.safetensors g/infinity/inf-tiny-2b.safetensors &&
        cp m8b/infinity.safetensors g/infinity/inf-tiny-8b.safetensors && cp m2b/vae.safetensors g/infinity/vae-p16-d16.safetensors &&
        cp mplain/vae.safetensors g/infinity/vae-p8-d14.safetensors &&
        for e in t5-tiny qwen2-tiny-tied qwen2-tiny-sharded qwen3-tiny; do
            cp -r "$gold/textenc/$e" g/textenc && chmod -R u+w "g/textenc/$e" && rm "g/textenc/$e"/model* &&
                cp "e-$e/text_encoder/model.safetensors" "g/textenc/$e" || return 1
        done && # recorded with logits of the head, which an encoder does not have
        rm g/textenc/qwen2-tiny-sharded/golden_right.safetensors && check-golden g
}
case_ "the recorded runs come out of converted weights as they come out of the originals" golden

# ---- types ----

types() {
    local t
    for t in f32 f16 bf16 int8 4bit; do
        convert "mt-$t" "${pilot[@]}" --dtype=$t --text-dtype=$t --group=32 && whole "mt-$t" && runs "mt-$t" 32x32 || return 1
    done
    [ "$(jq -r .hold mt-int8/model.json)" = map ] && [ "$(jq -r .hold mt-bf16/model.json)" = null ] &&
        [ "$(stat -c %s mt-int8/infinity.safetensors)" -lt "$(stat -c %s mp/infinity.safetensors)" ]
}
case_ "each type of matrices gives a model that runs" types
lossless() { # what bf16 holds survives f32 and back
    convert mb "${pilot[@]}" --dtype=bf16 --text-dtype=bf16 &&
        convert mf --transformer=mb/infinity.safetensors --vae=mb/vae.safetensors --text-encoder=mb/text_encoder \
            --tokenizer=mb/spm.model --dtype=f32 --text-dtype=f32 "${own[@]}" &&
        convert mbb --transformer=mf/infinity.safetensors --vae=mf/vae.safetensors --text-encoder=mf/text_encoder \
            --tokenizer=mf/spm.model --dtype=bf16 --text-dtype=bf16 "${own[@]}" &&
        cmp mb/infinity.safetensors mbb/infinity.safetensors && cmp mb/text_encoder/model.safetensors mbb/text_encoder/model.safetensors
}
case_ "bf16 weights survive f32 and back" lossless
case_ "4bit groups that do not divide a matrix are refused" refuses "groups of 64" 65 --group=64 "${two[@]}" --transformer="$inf/inf-tiny-8b.safetensors" \
    --vae="$inf/vae-p8-d14.safetensors" --dtype=4bit
case_ "quantized weights are not packed" refuses '--hold=pack' 64 "${two[@]}" --dtype=int8 --hold=pack

# ---- nested dictionaries ----

averages() {
    $tool wrap ema.pth model_ema="$inf/inf-tiny-2b.safetensors" &&
        refuses 'averaged.*model_ema.*--key=transformer=' 65 "${two[@]}" --transformer=ema.pth &&
        convert mema "${two[@]}" --transformer=ema.pth --key=transformer=model_ema && tells 'weights under "model_ema"'
}
several() {
    $tool wrap many.pth a="$inf/inf-tiny-2b.safetensors" b.x="$inf/inf-tiny-8b.safetensors" ema="$inf/inf-tiny-2b.safetensors" &&
        refuses 'several.*a, b.x, ema' 65 "${two[@]}" --transformer=many.pth &&
        refuses 'no transformer under the key "c"' 66 "${two[@]}" --transformer=many.pth --key=transformer=c &&
        convert mkey "${two[@]}" --transformer=many.pth --key=transformer=a && tells 'not taken.*"ema" \(an average\)' &&
        cmp m2b/infinity.safetensors mkey/infinity.safetensors &&
        convert mkey8 "${eight[@]}" --transformer=many.pth --key=transformer=b
}
beside() {
    $tool wrap flat.pth "$inf/inf-tiny-2b.safetensors" ema="$inf/inf-tiny-2b.safetensors" &&
        convert mflat "${two[@]}" --transformer=flat.pth && cmp m2b/infinity.safetensors mflat/infinity.safetensors
}
case_ "averages are taken only when they are asked for, and which were taken is told" averages
case_ "of several sets of weights one must be named" several
case_ "averages beside weights at the top are not mistaken for them" beside
leftover() {
    $tool wrap more.safetensors "$inf/inf-tiny-2b.safetensors" +lora.alpha +lvl_1L &&
        refuses 'lora.alpha.*--ignore' 65 "${two[@]}" --transformer=more.safetensors &&
        convert mmore "${two[@]}" --transformer=more.safetensors --ignore='lora.*' &&
        cmp m2b/infinity.safetensors mmore/infinity.safetensors && tells '2 left out'
}
case_ "a tensor that no model has is refused by name, or left out when asked; training's buffers always" leftover

# ---- what does not belong together ----

names() { # TRANSFORMER VAE: the tiny files under these names
    cp "$inf/inf-tiny-2b.safetensors" "$1" && cp "$inf/vae-p16-d16.safetensors" "$2"
}
pairing() { # TRANSFORMER VAE PATTERN
    names "$1" "$2" && refuses "$3" 65 --transformer="$1" --vae="$2" --text-encoder=t5 &&
        convert maccept --transformer="$1" --vae="$2" --text-encoder=t5 --accept-pairing --force
}
fits() { names "$1" "$2" && convert mfits --transformer="$1" --vae="$2" --text-encoder=t5 --force; }
case_ "2b_reg with d32 is refused, and why" pairing infinity_2b_reg.pth infinity_vae_d32.pth 'd32_reg.*--accept-pairing'
case_ "2b_reg with d32reg is taken" fits infinity_2b_reg.pth infinity_vae_d32reg.pth
case_ "an 8b name with a d32 name is refused" pairing infinity_8b_weights infinity_vae_d32_reg.pth 'd32_reg|d56'
case_ "a 2b name with the 8b's VAE name is refused" pairing infinity_2b.pth infinity_vae_d56_f8_14_patchify.pth '8B'
case_ "names that say nothing contradict nothing" fits weights.bin vae.bin
case_ "bits that do not fit are refused with both numbers" refuses '56 bits.*16 bits' 65 "${eight[@]}" --vae="$inf/vae-p16-d16.safetensors"
case_ "an encoder of another width is refused with both numbers" refuses '256 wide.*48 wide' 65 "${two[@]}" --text-encoder=t5-tiny
confused() {
    refuses 'no transformer.*word_embed.*a convolutional tokenizer' 66 \
        --transformer="$inf/vae-p16-d16.safetensors" --vae="$inf/inf-tiny-2b.safetensors" --text-encoder=t5 &&
        refuses 'no vae.*an Infinity transformer' 66 "${two[@]}" --vae="$inf/inf-tiny-2b.safetensors" &&
        refuses 'no vae.*a T5 text encoder' 66 "${two[@]}" --vae=t5 &&
        cp "$inf/inf-tiny-2b.safetensors" lone.safetensors &&
        refuses 'no config.json there.*folder of config.json, weights and vocabulary' 66 "${two[@]}" --text-encoder=lone.safetensors &&
        refuses 'folder of config.json' 64 "${two[@]}" --text-encoder=t5/config.json
}
case_ "parts given in each other's place are told apart" confused
tokenizers() {
    mkdir -p nospm && cp t5/config.json t5/model.safetensors nospm && refuses 'spiece.model' 66 "${two[@]}" --text-encoder=nospm &&
        convert mtok "${two[@]}" --text-encoder=nospm --tokenizer=t5 && cmp m2b/spiece.model mtok/spiece.model &&
        rows=$(jq .vocab_size t5-tiny/config.json) && [ "$rows" -lt 4096 ] &&
        refuses "4096 ids for an encoder with $rows rows" 65 --transformer=w48/infinity.safetensors --vae=w48/vae.safetensors \
            --text-encoder=t5-tiny --tokenizer="$shipped/spm.model"
}
case_ "a tokenizer that is missing or has more ids than the encoder rows is refused" tokenizers
configs() { # none of the recorded cases that must be refused gets through
    local n i
    n=$(jq '.refuse | length' "$gold/textenc/config_cases.json")
    mkdir -p badcfg && cp qwen2-tiny-tied/model.safetensors qwen2-tiny-tied/tokenizer*.json badcfg && [ "$n" -ge 9 ] || return 1
    for i in $(seq 0 $((n - 1))); do
        jq ".refuse[$i].config" "$gold/textenc/config_cases.json" >badcfg/config.json
        refuses 'badcfg/*config.json: ' 65 --transformer=w64/infinity.safetensors --vae=w64/vae.safetensors \
            --text-encoder=badcfg || return 1
    done
}
case_ "an encoder that would be computed otherwise is refused by its config" configs
prefixes() {
    printf 'Draw:\n' >prefix.txt
    refuses 'T5' 64 "${two[@]}" --prefix=prefix.txt &&
        convert mprefix --transformer=w64/infinity.safetensors --vae=w64/vae.safetensors --text-encoder=qwen2-tiny-tied --prefix=prefix.txt &&
        [ "$(jq -r .text.encoder.prefix mprefix/model.json)" = 'Draw:' ] && runs mprefix 256x256 &&
        printf '\377' >prefix.txt && refuses 'UTF-8' 65 --transformer=w64/infinity.safetensors --vae=w64/vae.safetensors \
            --text-encoder=qwen2-tiny-tied --prefix=prefix.txt
}
case_ "a system prompt goes with an encoder that takes one" prefixes

# ---- damage, space, death ----

damage() {
    head -c 100000 "$inf/inf-tiny-2b.safetensors" >cut.safetensors && refuses 'cut.safetensors' 65 "${two[@]}" --transformer=cut.safetensors &&
        head -c 100000 t.pth >cut.pth && refuses 'cut.pth' 65 "${two[@]}" --transformer=cut.pth &&
        refuses 'gone.pth' 66 "${two[@]}" --transformer=gone.pth && refuses 'gone' 66 "${two[@]}" --text-encoder=gone &&
        cp -r t5 t5cut && head -c 5000 t5/model.safetensors >t5cut/model.safetensors && refuses 't5cut' 65 "${two[@]}" --text-encoder=t5cut
}
case_ "truncated and missing files are named" damage
downloads() { # of a folder, each file may be what git leaves without lfs
    local f
    printf 'version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 99\n' >pointer
    for f in config.json spiece.model model.safetensors; do
        rm -rf t5lfs && cp -r t5 t5lfs && cp pointer "t5lfs/$f" && refuses "t5lfs/$f: .*Git LFS" 65 "${two[@]}" --text-encoder=t5lfs || return 1
    done
    f=$(find tdir -name '*-00002-of-*') && cp -r tdir tlfs && cp pointer "tlfs/${f##*/}" &&
        refuses "${f##*/}: .*Git LFS" 65 "${two[@]}" --transformer=tlfs &&
        rm -r tlfs && cp -r tdir tlfs && rm tlfs/*.index.json &&
        refuses 'shards without their .index.json' 65 "${two[@]}" --transformer=tlfs &&
        refuses 'of shards name the folder' 66 "${two[@]}" --transformer="$(find tdir -name '*-00001-of-*')"
}
case_ "files that git or a web server left in the place of a download are named" downloads
missing() {
    $tool wrap less.pth a.b=+conv.weight && refuses 'no transformer.*a.b.conv.weight' 66 "${two[@]}" --transformer=less.pth
}
case_ "a file without such weights says what it holds" missing
small_files() ( # in a shell of its own: the limit stays
    ulimit -f 500
    refuses 'bytes' 74 "${two[@]}"
)
case_ "a file size limit is an error that names the bytes, and leaves nothing" small_files
full() {
    mkdir -p tiny && unshare -rm sh -c 'mount -t tmpfs -o size=1m none tiny && cd tiny && exec "$@"' - bash -c '
        cfgen-model convert "$@" out >told 2>said; status=$?; cat said
        [ $status -eq 74 ] && grep -q "needs [0-9]* bytes" said && [ ! -e out ] && [ ! -e out.partial ]' - \
        --transformer="$inf/inf-tiny-2b.safetensors" --vae="$inf/vae-p16-d16.safetensors" --text-encoder="$tmp/t5"
}
if unshare -rm mount -t tmpfs none /mnt 2>/dev/null; then
    case_ "a disk that is full is an error that names the bytes needed, and leaves nothing" full
else skip_ "a disk that is full is an error that names the bytes needed" "no user namespaces here"; fi
killed() {
    local i
    for i in $(seq 1 8); do
        cfgen-model convert "${two[@]}" dead >/dev/null 2>&1 &
        sleep "0.0$((i % 10))"
        kill -9 $! 2>/dev/null
        wait $! 2>/dev/null
        if [ -e dead ]; then whole dead || return 1; fi
        convert dead --force "${two[@]}" && whole dead && [ ! -e dead.partial ] && rm -r dead || return 1
    done
}
case_ "a conversion that is killed leaves no model, and the next one begins anew" killed
stopped() { # large enough that there is something to stop
    cfgen-model synth --geometry=infinity-2b --embed-dim=1024 --depth=16 --num-heads=8 --base-channels=32 --text-width=256 \
        --text-layers=1 --dtype=f32 large >/dev/null &&
        ended TERM 'ended.partial/infinity*' cfgen-model convert --transformer=large/infinity.safetensors \
            --vae=large/vae.safetensors --text-encoder=t5 --dtype=int8 ended && none ended &&
        ended HUP 'ended.partial/infinity*' cfgen-model quantize --dtype=4bit large ended && none ended
    local status=$?
    rm -rf large
    return $status
}
case_ "a conversion or quantization that a signal ends leaves nothing" stopped
occupied() {
    convert taken "${two[@]}" && says 'exists; --force' 73 cfgen-model convert "${two[@]}" taken >/dev/null &&
        convert taken "${eight[@]}" --force && whole taken && $tool same "$inf/inf-tiny-8b.safetensors" taken/infinity.safetensors &&
        mkdir home && touch home/letter && says 'no model' 73 cfgen-model convert "${two[@]}" home --force >/dev/null && [ -e home/letter ] &&
        mkdir -p mine.partial && touch mine.partial/letter &&
        says 'no conversion left it' 73 cfgen-model convert "${two[@]}" mine >/dev/null && [ -e mine.partial/letter ] &&
        mkdir -p elsewhere && ln -sfn elsewhere link.partial &&
        says 'no conversion left it' 73 cfgen-model convert "${two[@]}" link >/dev/null && [ -z "$(ls -A elsewhere)" ] &&
        mkdir empty && convert empty "${two[@]}" && whole empty && convert slash/ "${two[@]}" && whole slash
}
case_ "only models are replaced, and only when asked" occupied
busy() {
    mkdir -p twice.partial && : >twice.partial/.converting &&
        flock twice.partial/.converting bash -c '. /dev/stdin' <<<"$(declare -f says exits)
            says 'another conversion' 75 cfgen-model convert ${two[*]} twice >/dev/null" && convert twice "${two[@]}" && whole twice
}
case_ "two conversions to one directory do not meet" busy

# ---- choices ----

choices() {
    convert mc "${two[@]}" --name=mine --cfg=2.5 --tau=0.7 --top-k=1 --top-p=0.5 --trained=0.06M,0.25M --classes=0.06M,0.25M \
        --kv-type=bf16 --hold=map --max-tokens=20 --lowercase && runs mc 256x256 &&
        [ "$(jq -c '[.name, .hold, .sampling.cfg, .sampling.tau, .sampling.top_k, .sampling.top_p, .sampling.kv_type]' mc/model.json)" = \
            '["mine","map",2.5,0.7,1,0.5,"bf16"]' ] &&
        [ "$(jq -c '[.sizes.trained, .sizes.classes, .text.tokenizer.max_tokens, .text.tokenizer.lowercase]' mc/model.json)" = \
            '[["0.06M","0.25M"],["0.06M","0.25M"],19,true]' ] &&
        for word in name hold trained classes text cfg tau top-k top-p kv-type; do tells "^$word .*asked for" || return 1; done
}
case_ "every choice can be made by option, and is told" choices
told() {
    convert md "${two[@]}" && for word in name hold trained classes text cfg tau top-k top-p kv-type; do
        tells "^$word " || return 1
    done && tells '^cfg .*default of infinity-2b' && tells '^tau .* 0.5 '
}
case_ "every choice that was not asked for is told with its reason" told
case_ "a missing part is named" refuses '--vae is missing' 64 --transformer=a --text-encoder=b
case_ "a class that is trained and not allowed is refused" refuses '1M' 64 "${two[@]}" --classes=0.06M
case_ "an unknown type is refused with the list" refuses 'keep, f32, f16, bf16, int8' 64 "${two[@]}" --dtype=fp8
plan_
