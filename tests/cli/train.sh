#!/bin/bash
# The recipe in train/, from eight small pictures to a model that cfgen loads: two steps of
# each training, and then C computes what PyTorch computed. No picture comes of it.
# Skipped where no python3 has torch, or where nothing can train a vocabulary.
. "${CFGEN_SRCDIR:-.}/tests/cli/init.sh"
export PYTHONDONTWRITEBYTECODE=1 # the sources may be read-only
export MPLCONFIGDIR="$tmp"

for python in python3 /usr/bin/python3; do
    "$python" -c 'import torch' 2>/dev/null && break
    python=
done
lack=
[ -n "$python" ] || lack='no python3 with torch'
[ -n "$lack" ] || command -v spm_train >/dev/null || "$python" -c 'import sentencepiece' 2>/dev/null ||
    lack='no spm_train, nor sentencepiece for python3'
! sanitized || lack='PyTorch is as it is; what C computes check-golden sees with sanitizers too'
[ -z "$lack" ] || { echo "1..0 # SKIP $lack"; exit 0; }

train() { # COMMAND ARG...
    "$python" -W ignore "$src/train/cfgen-train" "$@"
}
preset='--pack=pack --preset=tiny'

# The tests that lie beside the recipe.
units() {
    local d
    cd "$src/train" && for d in $(find . -path ./node_modules -prune -o -name 'test_*.py' -printf '%h\n' | sort -u); do
        "$python" -W ignore -m unittest discover -q -s "$d" -t . || return 1
    done
}
case_ "the recipe's own tests pass" eval '(units)'

# Eight pictures of 128 x 128 pixels: a disc or a square, each in a colour of its own.
draw() {
    mkdir pack && echo 'Drawn by a test.' >pack/NOTICE && "$python" - <<'END'
import json
import numpy as np
things = ["red ball", "green box", "blue ball", "yellow box", "black ball", "pink box",
          "brown ball", "gray box"]
colours = [(220, 40, 40), (50, 160, 60), (50, 90, 220), (250, 215, 60), (20, 20, 20),
           (245, 160, 190), (130, 85, 50), (128, 128, 128)]
y, x = np.mgrid[:128, :128] - 63.5
pictures = np.zeros((8, 128, 128, 4), np.uint8)
with open("pack/pictures.jsonl", "w") as f:
    for i, name in enumerate(things):
        inside = np.maximum(abs(x), abs(y)) < 50 if i % 2 else x * x + y * y < 3000
        pictures[i, inside] = (*colours[i], 255)
        f.write(json.dumps({"i": i, "set": "noto", "name": name.replace(" ", "-"),
                            "hex": f"{i:X}", "label": name, "tags": name.split(),
                            "group": 5, "tone": 0, "i18n": {}}) + "\n")
pictures.tofile("pack/pictures.rgba")
END
}
vocabulary() {
    draw && train vocabulary pack --pieces=400 && [ -s pack/spm.model ] && [ -s pack/words.json ]
}
case_ "eight pictures get a vocabulary" vocabulary

tokenizer() {
    train tokenizer run $preset --samples=16 >log && cat log && grep -q 'the whole of 16 samples' log &&
        train decoder run $preset --samples=24 --sharpen=0.3 >log && cat log && [ -s run/decoder.pt ]
}
case_ "the tokenizer trains two steps, its decoder three more, the last against a critic" tokenizer

transformer() {
    train transformer run $preset --samples=8 >log && cat log && grep -q '8 seen' log &&
        train transformer run $preset --samples=16 >log && cat log &&
        grep -q 'goes on after 8 samples' log && grep -q 'the whole of 16 samples, 16 seen' log
}
case_ "the transformer trains a step, and the next call goes on with the second" transformer

# instead ASSIGNMENT COMMAND ARG...: cfgen-train with a constant of the recipe changed takes
# the place of this shell.
instead() {
    CFGEN_TRAIN_STARTED=1 exec "$python" -W ignore -c '
import runpy, sys
program = sys.argv[1]
sys.path.insert(0, program.rpartition("/")[0])
from recipe import run, safetensors
exec(sys.argv[2])
sys.argv = [program, *sys.argv[3:]]
runpy.run_path(program, run_name="__main__")' "$src/train/cfgen-train" "$@"
}

# Killed while a checkpoint is being written; one is written after each step here.
killed() {
    local i
    cp -r run run-killed
    instead 'run.SAVE_SECONDS = 0' tokenizer run-killed $preset --samples=100000 >killed.log 2>&1 &
    for i in $(seq 1 3000); do
        [ run-killed/tokenizer.pt -nt killed.log ] && [ -e run-killed/tokenizer.pt.part ] && break
        kill -0 $! 2>/dev/null || break
        sleep 0.02
    done
    kill -9 $! || { cat killed.log; return 1; }
    exits 137 wait $! || return 1
    ls -l run-killed
    train tokenizer run-killed $preset --samples=100000 --minutes=0 >log || return 1
    cat log
    i=$(sed -n 's/.*goes on after \([0-9]*\) samples/\1/p' log)
    [ "$i" -gt 16 ] && [ $((i % 8)) = 0 ] && grep -q " $i seen" log
}
case_ "a kill -9 while it trains leaves a checkpoint that loads" killed

another() {
    says 'decoder.pt: was trained with another tokenizer' 1 train export run-killed x $preset &&
        ! ls -d x x.* 2>/dev/null
}
case_ "a decoder goes with the tokenizer that it was trained on, or is refused" another

exported() {
    mkdir models && train export run models/tiny $preset --cfg=3 --tau=0.5 && cfgen-model verify models/tiny &&
        jq -e '.sampling.cfg == 3 and .sampling.tau == 0.5 and .source.samples.decoder == 24' models/tiny/model.json &&
        cmp models/tiny/NOTICE pack/NOTICE && [ "$(head -n 1 models/tiny/labels.txt)" = 'red ball' ] &&
        cfgen --model=./models/tiny -o ball.webp 'a red ball' && [ -s ball.webp ]
}
case_ "what is exported is a model that cfgen loads and paints with" exported

occupied() {
    cp models/tiny/model.json was.json && says '--force' 1 train export run models/tiny $preset &&
        cmp was.json models/tiny/model.json && mkdir home && touch home/letter &&
        says 'no model' 1 train export run home $preset --force && [ -e home/letter ]
}
case_ "a model that is there stays, and what is no model all the more" occupied

same() {
    printf '%s\n' {'a red','green','Two Blue','a yellow'}\ {ball,box,'box, a black ball on the right',éclair} \
        >prompts.txt
    train golden models/tiny golden/tiny --prompts=prompts.txt && CFGEN_SRCDIR=$tmp check-golden golden/tiny
}
case_ "C has PyTorch's token ids, features, logits, bits and pixels" same

shards() {
    (instead 'safetensors.SHARD = 150000' export run models/shards $preset) || return 1
    mkdir golden/shards && cp golden/tiny/golden.safetensors golden/shards/ &&
        sed 's/"model": "tiny"/"model": "shards"/' golden/tiny/golden.json >golden/shards/golden.json &&
        ls models/shards/infinity/model-00002-of-* && cfgen-model verify models/shards &&
        CFGEN_SRCDIR=$tmp check-golden golden/shards
}
case_ "a large model is exported in shards, and computes the same" shards

plan_
