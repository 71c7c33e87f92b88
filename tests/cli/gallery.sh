#!/bin/bash
# cfgen-jobs gallery: pages that any browser and any XML reader takes, whatever the prompts.
. "${CFGEN_SRCDIR:-.}/tests/cli/init.sh"
command -v xmllint >/dev/null || { echo "1..0 # SKIP no xmllint"; exit 0; }

evil='</bdi><script>alert(1)</script> & "quotes" ]]> <!-- &amp; '"'"
bidi=$'left \u202egnorts\u2066 right'
rtl='אבג דהו'
export CFGEN_DB='my "queue" & more.db'
{ cfgen-jobs init &&
    printf '%s\n' 'red apple' octopus | cfgen-jobs add --seeds=0..2 --batch-name=plain - &&
    printf '%s\n' "$evil" "$bidi" "$rtl" "$(printf 'word%.0s ' {1..400})" |
    cfgen-jobs add --batch-name='hostile <b>' - &&
    printf '%s\n' one two | cfgen-jobs add --model='no <such> model' --batch-name=bad -; } >/dev/null || exit 99
cfgen-batch --output='pics #1?' --quiet --max-attempts=1 2>/dev/null
[ $? -eq 1 ] || exit 99
gallery() { cfgen-jobs gallery --output='pics #1?' "$@"; }
# xpath FILE EXPRESSION, with h: for XHTML spelled as local names.
xpath() { xmllint --nonet --xpath "$2" "$1" 2>/dev/null; }
has() { [ "$(xpath "$1" "$2")" = "$3" ] || { echo "$1: $2: '$(xpath "$1" "$2")', expected '$3'"; return 1; }; }
each() { local f; for f in g/*.html; do "$@" "$f" || return 1; done; }

makes() { gallery --out=g && ls g && [ "$(ls g/*.html | wc -l)" = 5 ]; }
case_ "pages for all, for each batch and for what failed" makes
case_ "every page is well-formed XML" each xmllint --nonet --noout

inert() {
    has "$1" "count(//*[local-name()='script' or local-name()='iframe' or local-name()='object'])" 0 &&
        has "$1" "count(//@*[starts-with(name(), 'on') or name()='style'])" 0 &&
        has "$1" "count(//@href[contains(., ':')] | //@src[contains(., ':')])" 0
}
case_ "no page has a script or a reference to elsewhere" each inert

resolves() {
    local ref file n=0
    while IFS= read -r ref; do
        file=$(printf '%b' "${ref//%/\\x}")
        [ -f "g/$file" ] || { echo "$1: $ref leads nowhere"; return 1; }
        n=$((n + 1))
    done < <(xpath "$1" "//@href | //@src" | sed -n 's/.*\(href\|src\)="\(.*\)".*/\2/p')
    [ $n -gt 2 ]
}
case_ "every reference leads to a file" each resolves

prompts() {
    local i=0 text
    for text in "$evil" "$bidi" "$rtl"; do
        i=$((i + 1))
        [ "$(xpath g/batch-2.html "string((//*[local-name()='figcaption'])[$i]/*[1]/*[local-name()='bdi'])")" = \
            "$text" ] || { echo "prompt $i is another one"; return 1; }
        has g/batch-2.html "string((//*[local-name()='img'])[$i]/@alt)" "$text" || return 1
    done
    has g/batch-2.html "count(//*[local-name()='bdi'][contains(., '<script>')]) > 0" true
}
case_ "hostile prompts are text, isolated in their direction" prompts

ends_isolate() {
    cfgen-jobs init --db=i.db && printf 'a \xe2\x81\xa9 b \xc2\x85 c\n' | cfgen-jobs add --db=i.db - &&
        cfgen-batch --db=i.db --output=i --quiet && cfgen-jobs gallery --db=i.db --output=i --out=gi &&
        has gi/index.html "string(//*[local-name()='figcaption']/*[1])" $'a \ufffd b \ufffd c'
}
case_ "characters that would end the isolation are replaced" ends_isolate

captions() {
    has g/index.html "count(//*[local-name()='figure'])" 10 &&
        has g/index.html "count(//*[local-name()='img'][@alt and @width and @height])" 10 || return 1
    local id hash
    for id in 1 6; do
        hash=$(sqlite3 "$CFGEN_DB" "SELECT pixel_sha256 FROM output WHERE job_id=$id")
        has g/index.html "contains((//*[local-name()='figure'])[$id], '$hash')" true &&
            has g/index.html "contains((//*[local-name()='figure'])[$id], 'seed $(((id - 1) % 3))')" true || return 1
    done
    has g/index.html "string(//*[@class='sums'])" '10 done2 failed'
}
case_ "captions tell seed and hash, the top tells the sums" captions

failures() {
    local command
    has g/failed.html "count(//*[@class='failed']/*)" 2 &&
        has g/failed.html "contains(//*[@class='failed']/*[1], 'no <such> model')" true &&
        command=$(xpath g/failed.html "string((//*[local-name()='td']/*[local-name()='code'])[1])") &&
        echo "$command" && eval "$command" && [ "$(cfgen-jobs status --json | jq .states.ready)" = 2 ] &&
        cfgen-jobs cancel --all && gallery --out=after && [ ! -e after/failed.html ]
}
case_ "what failed comes with reason and a command that works" failures

same() {
    gallery --out=h1 && gallery --out=h2 && diff -r h1 h2 && gallery --out=h1 && diff -r h1 h2
}
case_ "the same queue gives the same bytes, also over an earlier gallery" same

pages() {
    gallery --out=p --per-page=3 && has p/index-4.html "count(//*[local-name()='figure'])" 1 &&
        has p/index-2.html "count(//*[@rel='prev' or @rel='next'])" 4 && [ ! -e p/index-5.html ]
}
case_ "--per-page divides into pages that lead to each other" pages

sample() {
    gallery --out=s --sample=2 --batch=plain && has s/index.html "count(//*[local-name()='figure'])" 2 &&
        has s/index.html "contains(string((//*[local-name()='figure'])[2]), 'octopus')" true &&
        has s/index.html "contains(string(//*[local-name()='header']), '2 of 6 done jobs, spread evenly')" true
}
case_ "--sample takes a few, spread evenly; --batch those of one batch" sample

only_failed() {
    cfgen-jobs init --db=f.db && echo x | cfgen-jobs add --db=f.db --model=none - || return 1
    cfgen-batch --db=f.db --output=f --quiet --max-attempts=1 2>/dev/null
    cfgen-jobs gallery --db=f.db --output=f --out=gf --failed && has gf/index.html "count(//*[@class='failed']/*)" 1 &&
        [ ! -e gf/contact.webp ]
}
case_ "--failed shows only what failed" only_failed

scaled() {
    local path
    path=$(sqlite3 "$CFGEN_DB" 'SELECT path FROM output WHERE job_id=1')
    dwebp -quiet "pics #1?/$path" -scale 600 300 -ppm -o big.ppm && cwebp -quiet big.ppm -o "pics #1?/$path" &&
        sqlite3 "$CFGEN_DB" "UPDATE output SET width=600, height=300, bytes=$(stat -c %s "pics #1?/$path"),
            file_sha256='$(sha256sum <"pics #1?/$path" | cut -c1-64)' WHERE job_id=1" &&
        gallery --out=b --thumb=100 || return 1
    local thumb
    thumb=$(xpath b/index.html "string((//*[local-name()='img'])[1]/@src)")
    has b/index.html "string((//*[local-name()='img'])[1]/@width)" 100 &&
        webpinfo "b/$thumb" | grep -q 'Width: 100' && webpinfo "b/$thumb" | grep -q 'Height: 50'
}
if command -v webpinfo >/dev/null; then case_ "large images get small thumbnails" scaled
else skip_ "large images get small thumbnails" "no webp tools"; fi

unreadable() {
    rm "pics #1?/$(sqlite3 "$CFGEN_DB" 'SELECT path FROM output WHERE job_id=2')"
    gallery --out=u >said.txt && cat said.txt && grep -q '9 pictures; 1 could not be read' said.txt &&
        xmllint --noout u/index.html && has u/index.html "count(//*[local-name()='img'])" 9
}
case_ "a picture that cannot be read leaves its caption" unreadable

foreign() {
    mkdir mine && echo '<html>' >mine/index.html && says 'not a page of' 73 gallery --out=mine &&
        [ "$(cat mine/index.html)" = '<html>' ] && [ ! -e mine/thumbs ]
}
case_ "somebody's own page is not written over" foreign

empty() {
    cfgen-jobs init --db=e.db && cfgen-jobs gallery --db=e.db --out=ge && xmllint --noout ge/index.html
}
case_ "an empty queue has a page too" empty

# A browser must see what an XML reader sees.
browser() {
    local flags=(--headless --no-sandbox --disable-gpu --user-data-dir="$tmp/profile")
    timeout 60 chromium "${flags[@]}" --dump-dom "file://$tmp/g/batch-2.html" >dom.html 2>browser.log ||
        { tail -3 browser.log; return 1; }
    [ "$(grep -o '<figure>' dom.html | wc -l)" = 4 ] && [ "$(grep -o '<script' dom.html | wc -l)" = 0 ] &&
        timeout 60 chromium "${flags[@]}" --window-size=400,900 --screenshot=shot.png \
            "file://$tmp/g/index.html" 2>browser.log && [ "$(stat -c %s shot.png)" -gt 10000 ]
}
if command -v chromium >/dev/null; then case_ "Chromium sees the same elements and draws them" browser
else skip_ "Chromium sees the same elements and draws them" "no chromium here"; fi
plan_
