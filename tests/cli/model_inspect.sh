#!/bin/bash
# cfgen-model inspect and verify: what a model is, what a downloaded file is, and whether
# a model is whole and computes numbers.
. "${CFGEN_SRCDIR:-.}/tests/cli/init.sh"

golden=$src/tests/golden
json() { # FILE PATH: a value of a file of one JSON object
    sqlite3 :memory: "SELECT json_extract(readfile('$1'), '$2')"
}
is() { # FILE PATH VALUE
    local got
    got=$(json "$1" "$2")
    [ "$got" = "$3" ] || { echo "$2 is $got, expected $3"; return 1; }
}
facts() { cfgen-model inspect --json "$@" >facts.json; }

# ---- inspect ----

tells_shipped() {
    cfgen-model inspect "$shipped" >out.txt && cat out.txt &&
        grep -q 'model "'"$shipped_name"'", hash [0-9a-f]\{12\}, matrices packed' out.txt &&
        grep -q 'depth 5, width 128, 4 heads of 32, feed-forward 512' out.txt &&
        grep -q '16 bits, 4 pixels a side; channels 24 x 1,2,4; with encoder' out.txt &&
        grep -q 'one of 5 scales, 8 x 8 tokens' out.txt && grep -q '^    32x32, kv' out.txt
}
case_ "inspect tells geometry, sizes and memory of a model" tells_shipped

shipped_json() {
    facts "$shipped" && is facts.json '$.kind' model && is facts.json '$.name' "$shipped_name" &&
        is facts.json '$.hash' "$(sha256sum "$shipped/model.json" | cut -d' ' -f1)" &&
        is facts.json '$.transformer.types.BF16.tensors' 116 &&
        is facts.json '$.vae.bits' 16 && is facts.json '$.text_encoder.width' 128 &&
        is facts.json '$.memory.sizes[0].width' 32 &&
        is facts.json '$.memory.sizes[0].kv_type' f32 &&
        is facts.json '$.memory.sizes[1].kv_type' bf16
}
case_ "--json gives the same as one object" shipped_json

sums() { # a total is transformer, decoder and work
    facts "$shipped" || return 1
    local work vae weights type
    work=$(json facts.json '$.memory.sizes[1].work')
    vae=$(json facts.json '$.memory.vae')
    for type in now f32 bf16 int8 4bit; do
        weights=$(json facts.json "\$.memory.transformer.$type")
        is facts.json "\$.memory.sizes[1].total.$type" $((work + vae + weights)) || return 1
    done
}
case_ "the memory of a size is the sum of its parts" sums

each_line() {
    cfgen-model inspect --json "$shipped" "$shipped" >two.txt && [ "$(wc -l <two.txt)" = 2 ]
}
case_ "one line of JSON for each path" each_line

transformer() {
    facts "$golden/infinity/inf-tiny-8b.safetensors" && is facts.json '$.kind' transformer &&
        is facts.json '$.transformer.bits_per_token' 56 &&
        is facts.json '$.pairs_with.text_width' 256
}
case_ "a transformer before conversion tells what it wants" transformer

tokenizer() {
    facts "$golden/infinity/vae-p8-d14.safetensors" && is facts.json '$.kind' vae &&
        is facts.json '$.pairs_with.bits_per_token' 56 &&
        is facts.json '$.pairs_with.transformers[0]' infinity-8b
}
case_ "a tokenizer before conversion tells whom it fits" tokenizer

encoders() {
    facts "$golden/textenc/t5-tiny" && is facts.json '$.kind' text_encoder &&
        is facts.json '$.text_encoder.config.model_type' t5 &&
        facts "$golden/textenc/qwen2-tiny-sharded" &&
        is facts.json '$.text_encoder.config.num_hidden_layers' 6 &&
        is facts.json '$.text_encoder.types.BF16.tensors' 74
}
case_ "an encoder's folder before conversion is read" encoders

other_config() { # of a model with more layers than the weights beside it
    rm -rf t5 && cp -r "$golden/textenc/t5-tiny" t5 && chmod -R u+w t5 &&
        sed -i '/"num_layers"/s/4/5/' t5/config.json &&
        says 't5/.*encoder.block.4.layer.0.SelfAttention.q.weight: missing' 65 \
            cfgen-model inspect t5
}
case_ "an encoder whose config asks for more than its files have is refused" other_config

nested() { # as training saves them
    model_tool wrap t.pth trainer.gpt_fsdp="$golden/infinity/inf-tiny-2b.safetensors" \
        trainer.opt=+exp_avg && facts t.pth && is facts.json '$.format' pytorch &&
        is facts.json '$.prefix' trainer.gpt_fsdp && is facts.json '$.kind' transformer &&
        is facts.json '$.transformer.embed_dim' 64 &&
        model_tool wrap v.pth vae="$golden/infinity/vae-p16-d16.safetensors" \
            ema="$golden/infinity/vae-p16-d16.safetensors" && facts v.pth &&
        is facts.json '$.prefix' vae && is facts.json '$.kind' vae &&
        is facts.json '$.vae.bits' 16
}
case_ "what lies in nested dictionaries of a PyTorch file is found" nested

beside() { # as the converter takes them
    model_tool wrap b.pth "$golden/infinity/inf-tiny-2b.safetensors" \
        ema="$golden/infinity/inf-tiny-2b.safetensors" && facts b.pth &&
        is facts.json '$.prefix' '' && is facts.json '$.kind' transformer
}
escape() { # ESC and CSI in the name of a dictionary
    model_tool wrap esc.safetensors $'\e[2J\xc2\x9b'="$golden/infinity/inf-tiny-2b.safetensors" &&
        cfgen-model inspect esc.safetensors >esc.txt && grep -F '\u{1b}[2J\u{9b}' esc.txt &&
        cfgen-model inspect --json esc.safetensors >esc.json && grep -qiF '\u001b[2J\u009b' esc.json &&
        ! grep -q $'\e\|\xc2\x9b' esc.txt esc.json
}
case_ "names in files reach a terminal as letters alone" escape
case_ "an average beside weights at the top is left where it is" beside

average() {
    model_tool wrap e.pth model_ema="$golden/infinity/inf-tiny-2b.safetensors" &&
        says 'e.pth: only averaged weights \(EMA\).*: model_ema;' 65 \
            cfgen-model inspect e.pth
}
case_ "an average of weights alone is refused with its name" average

case_ "a file of other tensors is told what it seems to be" \
    says 'rope.safetensors: no Infinity transformer .*nothing that this program knows' 65 \
    cfgen-model inspect "$golden/infinity/rope.safetensors"
case_ "a file that is not there" says 'no-such' 66 cfgen-model inspect no-such
case_ "a path is missing" says 'a model or a file is missing' 64 cfgen-model inspect

# ---- verify ----

whole() {
    cfgen-model verify "$shipped" >out.txt && cat out.txt &&
        [ "$(grep -c ' ok, ' out.txt)" = "$(wc -l <out.txt)" ] &&
        grep -q 'weights *ok, 274 tensors' out.txt &&
        [ "$(grep -c 'logits *ok, scale' out.txt)" = 5 ] && grep -q 'pixels *ok, 32 x 32' out.txt
}
case_ "a whole model passes every check" whole

quantized() { # of the 8b's kind: patchified, mapped, 4-bit matrices beside bf16 ones
    cfgen-model synth --geometry=infinity-8b --embed-dim=128 --depth=4 --num-heads=4 \
        --mlp-hidden=256 --base-channels=32 --text-width=128 --text-layers=1 \
        --text-vocab=4096 --dtype=4bit --text-dtype=int8 q >/dev/null && facts q &&
        is facts.json '$.hold' map && is facts.json '$.transformer.bits_per_token' 56 &&
        is facts.json '$.memory.transformer.now' "$(json facts.json '$.memory.transformer."4bit"')" &&
        is facts.json '$.memory.text_encoder.now' "$(json facts.json '$.memory.text_encoder.int8')" &&
        cfgen-model verify q >out.txt && cat out.txt && grep -q 'pixels *ok, 256 x 256' out.txt
}
case_ "a quantized model is told as it is and passes every check" quantized

fresh() { rm -rf m && cp -r "$shipped" m && chmod -R u+w m; }
# offset FILE TENSOR: where its data begin
offset() {
    local n
    n=$(od -An -tu8 -N8 "$1" | tr -d ' ')
    dd if="$1" bs=1 skip=8 count="$n" of=header.json status=none
    echo $((8 + n + $(json header.json "\$.\"$2\".data_offsets[0]")))
}
# spoil FILE TENSOR BYTES: its first element; the manifest follows
spoil() {
    local old new
    old=$(sha256sum "m/$1" | cut -d' ' -f1)
    printf "$3" | dd of="m/$1" bs=1 seek="$(offset "m/$1" "$2")" conv=notrunc status=none
    new=$(sha256sum "m/$1" | cut -d' ' -f1)
    [ "$old" != "$new" ] && sed -i "s/$old/$new/" m/model.json
}

# fails PATTERN STATUS: m, for a reason that is told once
fails() {
    says '^cfgen-model: verify: 1 of 1 models failed$' "$2" cfgen-model verify m >out.txt &&
        [ "$(wc -l <said.log)" -eq 1 ] && grep -qE "^m: FAILED, $1" out.txt
}

changed() {
    fresh && printf x | dd of=m/vae.safetensors bs=1 seek=100000 conv=notrunc status=none &&
        fails 'hashes: .*vae.safetensors: sha256 is' 65
}
case_ "a changed byte is found by its file" changed

infinite() {
    fresh && spoil infinity.safetensors block_chunks.2.module.0.ffn.fc1.weight '\x80\x7f' &&
        fails 'weights: block_chunks.2.module.0.ffn.fc1.weight: element 0 is inf' 65
}
case_ "an infinite weight is found by its name" infinite

overflow() { # 3.4e38 is a number, divided by a temperature below 1 it is none
    fresh && spoil infinity.safetensors head.bias '\x7f\x7f' &&
        fails 'image: .*(scale|step) 0' 70
}
case_ "an activation that overflows is found by its scale" overflow

not_a_number() { # in the encoder
    fresh && spoil text_encoder/model.safetensors model.norm.weight '\xc0\x7f' &&
        fails 'weights: model.norm.weight: element 0 is (-)?nan' 65
}
case_ "a weight that is no number is found in the encoder" not_a_number

mispaired() {
    fresh && sed -i '/"pool_heads"/s/1/2/' m/model.json &&
        fails 'image: .*text_proj_for_sos.ca.mat_q' 65
}
case_ "a manifest that does not fit its files is found" mispaired

both() {
    fresh && rm m/spm.model && says 'verify: 1 of 2 models failed' 66 cfgen-model verify m "$shipped" >out.txt &&
        grep -q '^m: FAILED' out.txt && grep -q "^$shipped: pixels *ok" out.txt
}
case_ "a model that fails does not hide the next" both

hashed() {
    mkdir none && says 'hash: no model directory: .*none: no model.json there' 66 cfgen-model hash none &&
        cfgen-model hash m/vae.safetensors | grep -q "^$(sha256sum m/vae.safetensors | cut -d' ' -f1)  m/vae"
}
case_ "hash says of a directory that it is no model" hashed
case_ "a directory is missing" says 'a model directory is missing' 64 cfgen-model verify
plan_
