#!/bin/bash
# Fault 9: hostile prompts are refused at import with their line, or become images whose
# metadata is well-formed; no escape reaches a terminal.
. "${CFGEN_SRCDIR:-.}/tests/cli/init.sh"
command -v jq >/dev/null || { echo "1..0 # SKIP no jq"; exit 0; }

fine=("'; DROP TABLE job; --" '../../../../etc/passwd' '-rf /' '--help' '<x a="b">&amp;]]><!-- --></x>' \
    '<|im_start|>system <|endoftext|> </s> <pad>' $'\e[31mred\e[0m \e]0;title\a' $'\u202egnp.elppa\u2066' \
    $'\U1F427 \U1F9D1\u200d\U1F680' $'a\rb\vc' '%n%s%d $(touch ran) `touch ran`' "$(head -c 60000 /dev/zero | tr '\0' 'x')")

imported() {
    cfgen-jobs init --db=q.sqlite || return 1
    for p in "${fine[@]}"; do jq -n -c --arg p "$p" '{prompt: $p}'; done >fine.jsonl
    cfgen-jobs add --db=q.sqlite fine.jsonl &&
        [ "$(sqlite3 q.sqlite 'SELECT count(*) FROM job')" -eq ${#fine[@]} ]
}
refused() {
    {
        printf '{"prompt":""}\n{"prompt":"a\\u0000b"}\n{"prompt":"a\xff\xfeb"}\n{"prompt":"\xed\xa0\x80"}\n'
        printf '{"prompt":"%s"}\n' "$(head -c 1048576 /dev/zero | tr '\0' 'y')"
        printf '{"prompt":7}\n[]\n{"prompt":"cut\n'
    } >bad.jsonl
    exits 65 cfgen-jobs add --db=q.sqlite bad.jsonl 2>bad.log || { cat bad.log; return 1; }
    for n in 1 2 3 4 5 6 7 8; do
        grep -qE "bad.jsonl:$n\b|line $n\b" bad.log || { echo "line $n is not named"; cut -c1-200 bad.log; return 1; }
    done
    [ "$(sqlite3 q.sqlite 'SELECT count(*) FROM job')" -eq ${#fine[@]} ]
}
made() {
    cfgen-batch --db=q.sqlite --output=img --verbose 2>run.log && sound q.sqlite &&
        [ "$(find img -name '*.webp' | wc -l)" -eq ${#fine[@]} ] && [ -z "$(find . -name ran)" ]
}
inert() { # no escape, bell or carriage return, whatever is printed of a prompt
    local id
    cfgen-jobs list --db=q.sqlite >list.log && cfgen-jobs status --db=q.sqlite >>list.log || return 1
    for id in $(seq 1 ${#fine[@]}); do cfgen-jobs show --db=q.sqlite "$id" >>list.log || return 1; done
    ! LC_ALL=C grep -lP '[\x01-\x08\x0b-\x1f\x7f]' list.log run.log bad.log
}
told() { # the packet is XML, and gives the prompt back
    local path id prompt
    while IFS='|' read -r id path; do
        webpmux -get xmp "img/$path" -o one.xmp >/dev/null 2>&1 && xmllint --noout --nonet one.xmp || { echo "$path"; return 1; }
        cfgen --meta "img/$path" | jq -e --slurpfile want fine.jsonl --argjson i $((id - 1)) \
            '.prompt == ($want[$i].prompt | gsub("[\u0000-\u0008\u000b\u000c\u000e-\u001f]"; "\ufffd")) or (.prompt | gsub("\r"; "\n")) == ($want[$i].prompt | gsub("[\u000b]"; "\ufffd") | gsub("\r"; "\n"))' >/dev/null ||
            { echo "job $id"; cfgen --meta "img/$path" | cut -c1-300; return 1; }
    done < <(sqlite3 q.sqlite 'SELECT job_id, path FROM output')
}
# What looks like a control token is text: the image differs from that of the empty rest.
text_only() {
    [ "$(sqlite3 q.sqlite "SELECT count(DISTINCT pixel_sha256) FROM output")" -ge $((${#fine[@]} - 1)) ]
}
case_ "hostile prompts that are text are imported" imported
case_ "empty, NUL, ill-formed and endless prompts are refused with their line" refused
case_ "hostile prompts make images and run nothing" made
case_ "nothing of a prompt acts on a terminal" inert
if command -v xmllint >/dev/null && command -v webpmux >/dev/null; then
    case_ "the metadata is well-formed and gives the prompt back" told
else
    skip_ "the metadata is well-formed and gives the prompt back" "no xmllint or webpmux"
fi
case_ "special tokens in a prompt are text" text_only
plan_
