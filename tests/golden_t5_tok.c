/* golden_t5_tok.c - what transformers' fast T5 tokenizer gave, against ours.
 *
 * Ours is SentencePiece and eos. Theirs differs from SentencePiece where a text spells
 * out special tokens or has combining marks; such a record says in `spm` what is right.
 * Where SentencePiece itself differs between versions, the records beside it (alt_*) say
 * so. */
#include "tests/golden_textenc.h"

#include <stdlib.h>

#include "base/alloc.h"

/* Another version's ids of text, without eos: any alt_* of the other .jsonl files. */
static bool is_alternative(struct golden_dir *d, const json_t *text, const int32_t *ids,
                           size_t n)
{
    bool found = false;

    for (size_t f = 0; f < d->n && !found; f++) {
        char path[GOLDEN_PATH];
        json_t *lines, *record, *v;
        const char *key;
        size_t i;

        if (!golden_ends(d->name[f], ".jsonl"))
            continue;
        golden_path(path, d, d->name[f]);
        lines = golden_lines(path);
        json_array_foreach(lines, i, record)
        {
            if (!json_equal(json_object_get(record, "text"), text))
                continue;
            json_object_foreach(record, key, v)
            {
                found |= golden_starts(key, "alt_") && golden_same_ids(v, ids, n);
            }
        }
        json_decref(lines);
    }
    return found;
}

static enum cf_status encode(const struct cf_tok *tok, const json_t *text, unsigned flags,
                             int32_t **ids, size_t *n, struct cf_error *err)
{
    return cf_tok_encode(tok, json_string_value(text), json_string_length(text), flags,
                         ids, n, err);
}

void golden_t5_lines(struct golden_dir *d, const char *name, const struct cf_tok *tok)
{
    const int32_t eos = cf_tok_id(tok, CF_TOK_EOS_ID);
    struct golden_count c = {0};
    char path[GOLDEN_PATH];
    json_t *lines, *record;
    size_t i, n;

    golden_path(path, d, name);
    lines = golden_lines(path);
    if (json_array_size(lines) == 0)
        golden_wrong(&c, "no records");
    json_array_foreach(lines, i, record)
    {
        const json_t *text = json_object_get(record, "text");
        const json_t *spm = json_object_get(record, "spm");
        const json_t *want = spm ? spm : json_object_get(record, "ids");
        struct cf_error err = {0};
        int32_t *ids = NULL;

        c.total++;
        if (!json_is_string(text) || !json_is_array(want))
            golden_wrong(&c, "record %zu: no text or no ids", i);
        else if (encode(tok, text, CF_TOK_EOS, &ids, &n, &err) != CF_OK)
            golden_wrong(&c, "record %zu: %s", i, err.msg);
        else if (!golden_same_ids(want, ids, n) &&
                 !(n > 0 && ids[n - 1] == eos && is_alternative(d, text, ids, n - 1)))
            golden_wrong(&c, "record %zu: other ids (%zu of them)", i, n);
        cf_free(ids);
    }
    golden_tell_count(d, name, NULL, &c);
    json_decref(lines);
}

/* ids [n] of one text: at most len - 1 of them, eos, pads up to len; 1s where no pad is.
 */
static void check_row(struct golden_count *c, const char *key, size_t at,
                      const struct cf_tok *tok, const int32_t *ids, size_t n,
                      const json_t *want_ids, const json_t *want_mask)
{
    const size_t len = json_array_size(want_ids);
    int32_t *row, *mask;

    if (len == 0) {
        golden_wrong(c, "%s: row %zu is empty", key, at);
        return;
    }
    row = calloc(len, sizeof(*row));
    mask = calloc(len, sizeof(*mask));
    n = n < len - 1 ? n : len - 1;
    for (size_t i = 0; i < len; i++) {
        row[i] = i < n    ? ids[i]
                 : i == n ? cf_tok_id(tok, CF_TOK_EOS_ID)
                          : cf_tok_id(tok, CF_TOK_PAD_ID);
        mask[i] = i <= n;
    }
    if (!golden_same_ids(want_ids, row, len))
        golden_wrong(c, "%s: row %zu: other ids", key, at);
    if (!golden_same_ids(want_mask, mask, len))
        golden_wrong(c, "%s: row %zu: another mask", key, at);
    free(row);
    free(mask);
}

void golden_t5_padded(struct golden_dir *d, const char *name, const struct cf_tok *tok)
{
    struct golden_count c = {0};
    char path[GOLDEN_PATH];
    json_t *root, *texts, *text, *set;
    const char *key;
    size_t i, n;

    golden_path(path, d, name);
    root = golden_json(path);
    texts = json_object_get(root, "texts");
    if (json_array_size(texts) == 0)
        golden_wrong(&c, "no texts");
    json_array_foreach(texts, i, text)
    {
        struct cf_error err = {0};
        int32_t *ids = NULL;

        if (encode(tok, text, 0, &ids, &n, &err) != CF_OK)
            golden_wrong(&c, "text %zu: %s", i, err.msg);
        json_object_foreach(root, key, set)
        {
            if (set == texts)
                continue;
            c.total++;
            check_row(&c, key, i, tok, ids, n,
                      json_array_get(json_object_get(set, "input_ids"), i),
                      json_array_get(json_object_get(set, "attention_mask"), i));
        }
        cf_free(ids);
    }
    golden_tell_count(d, name, NULL, &c);
    json_decref(root);
}
