#!/bin/sh
# store_readers.sh - what other people's programs read in our files. A program that is not
# installed skips its cases.
tool="${CFGEN_BUILDDIR:-.}/tests/store_tool"
dir=$(mktemp -d) || exit 99
trap 'rm -rf "$dir"' EXIT
trap 'exit 99' HUP INT TERM
n=0
echo 1..18

result() { # status, what
    n=$((n + 1))
    if [ "$1" -eq 0 ]; then echo "ok $n - $2"; else echo "not ok $n - $2"; fi
}
skip() { # program, what
    n=$((n + 1))
    echo "ok $n - $2 # SKIP no $1"
}
have() { command -v "$1" >/dev/null 2>&1; }

for level in full minimal none; do
    "$tool" write $level "$dir/$level.webp" || exit 99
done
"$tool" expect prompt >"$dir/prompt"
"$tool" expect negative >"$dir/negative"

what="webpinfo finds whole files with the chunks of each level"
if have webpinfo; then
    for level in full minimal none; do webpinfo "$dir/$level.webp"; done >"$dir/info" 2>&1
    [ "$(grep -c 'No error detected' "$dir/info")" -eq 3 ] &&
        [ "$(grep -c '^Chunk EXIF' "$dir/info")" -eq 2 ] &&
        [ "$(grep -c '^Chunk XMP' "$dir/info")" -eq 2 ]
    result $? "$what"
else skip webpinfo "$what"; fi

what="dwebp decodes the pixels that went in, with and without metadata"
if have dwebp; then
    "$tool" ppm >"$dir/in.ppm"
    ok=0
    for level in full minimal none; do
        dwebp -quiet -ppm "$dir/$level.webp" -o "$dir/out.ppm" &&
            cmp -s "$dir/in.ppm" "$dir/out.ppm" || ok=1
    done
    result $ok "$what"
else skip dwebp "$what"; fi

what="xmllint takes the packet as well-formed"
if have xmllint; then
    "$tool" xmp "$dir/full.webp" | xmllint --nonet --noout - 2>"$dir/lint" &&
        "$tool" xmp "$dir/minimal.webp" | xmllint --nonet --noout - 2>>"$dir/lint"
    result $? "$what"
    sed 's/^/# /' "$dir/lint"
else skip xmllint "$what"; fi

# exiftool: tag, file with the value it shall show, or the value
shows() {
    what="exiftool shows $1"
    if ! have exiftool; then skip exiftool "$what"; return; fi
    exiftool -charset filename=utf8 -b -"$1" "$dir/full.webp" >"$dir/is" 2>"$dir/why"
    echo >>"$dir/is"
    if [ -f "$2" ]; then cp "$2" "$dir/want"; else printf '%s\n' "$2" >"$dir/want"; fi
    if cmp -s "$dir/is" "$dir/want"; then result 0 "$what"; else
        result 1 "$what"
        diff "$dir/want" "$dir/is" | sed 's/^/# /'
    fi
}
{ cat "$dir/prompt"; printf 'Negative prompt: '; cat "$dir/negative"; } >"$dir/information"
shows XMP-dc:Description "$dir/prompt"
shows XMP-cfgen:Prompt "$dir/prompt"
shows XMP-cfgen:Negative "$dir/negative"
shows XMP-cfgen:Seed 18446744073709551615
shows XMP-cfgen:Model_sha256 \
    0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
shows XMP-cfgen:Recipe '{"prompt":"bell\u0007","seed":"18446744073709551615"}'
shows XMP-iptcExt:DigitalSourceType \
    http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia
shows XMP-iptcExt:AISystemUsed 'cfgen (infinity-2b)'
shows XMP-iptcExt:AIPromptInformation "$dir/information"

# EXIF keeps the control character that XML cannot hold.
bell=$(printf '\007')
{ sed "s/bell$(printf '\357\277\275')/bell$bell/" "$dir/information"
  printf '%s' 'Steps: 13, Sampler: "infinity bitwise, top-k 900, top-p 0.97", '
  printf '%s' 'CFG scale: "4,4,3", Seed: 18446744073709551615, Size: 5x7, '
  printf '%s' 'Model hash: 0123456789, Model: infinity-2b, Version: '
  "$tool" expect software; } >"$dir/comment"
shows EXIF:UserComment "$dir/comment"
shows EXIF:Software "$("$tool" expect software)"

what="exiftool has no warning for a file of ours"
if have exiftool; then
    exiftool -validate -warning -a "$dir/full.webp" "$dir/minimal.webp" >"$dir/why" 2>&1
    ! grep -iE 'warning *:|error' "$dir/why" | sed 's/^/# /' | grep .
    result $? "$what"
else skip exiftool "$what"; fi

what="the minimal level says how it was made and nothing of what was asked for"
if have exiftool; then
    exiftool -j -XMP:all -EXIF:all "$dir/minimal.webp" >"$dir/min"
    grep -q trainedAlgorithmicMedia "$dir/min" && grep -q '"Software": "cfgen ' "$dir/min" &&
        ! grep -qiE 'prompt|seed|blurry|comment|model' "$dir/min"
    result $? "$what"
else skip exiftool "$what"; fi

what="what exiftool has rewritten can still be read by us"
if have exiftool; then
    "$tool" json "$dir/full.webp" >"$dir/before"
    exiftool -q -overwrite_original -XMP-dc:Title='a new title' "$dir/full.webp" &&
        "$tool" json "$dir/full.webp" >"$dir/after" && cmp -s "$dir/before" "$dir/after"
    result $? "$what"
else skip exiftool "$what"; fi

"$tool" json "$dir/none.webp" >"$dir/is" 2>&1
[ $? -eq 1 ] && grep -q 'no XMP' "$dir/is"
result $? "a file without metadata is told so"
