#include "textenc/tokenizer.h"

#include <string.h>

#include "base/alloc.h"
#include "base/utf8.h"
#include "textenc/bpe.h"
#include "textenc/spm.h"

struct cf_tok {
    struct cf_spm *spm; /* one of the two */
    struct cf_bpe *bpe;
};

enum cf_status cf_tok_open(struct cf_tok **tok, const char *type, const char *path,
                           struct cf_error *err)
{
    struct cf_tok *t = cf_calloc(1, sizeof(*t), err);
    enum cf_status st;

    *tok = NULL;
    if (!t)
        return CF_ENOMEM;
    if (strcmp(type, "sentencepiece") == 0)
        st = cf_spm_open(&t->spm, path, err);
    else if (strcmp(type, "bpe") == 0)
        st = cf_bpe_open(&t->bpe, path, err);
    else
        st = cf_fail(err, CF_EUNSUP, "tokenizer \"%.32s\", expected sentencepiece or bpe",
                     type);
    if (st == CF_OK)
        *tok = t;
    else
        cf_tok_close(t);
    return st;
}

void cf_tok_close(struct cf_tok *tok)
{
    if (!tok)
        return;
    cf_spm_close(tok->spm);
    cf_bpe_close(tok->bpe);
    cf_free(tok);
}

enum cf_status cf_tok_check(const struct cf_tok *tok, unsigned flags,
                            struct cf_error *err)
{
    if ((flags & CF_TOK_BOS) && cf_tok_id(tok, CF_TOK_BOS_ID) < 0)
        return cf_fail(err, CF_EUNSUP, "the tokenizer has no bos token");
    if ((flags & CF_TOK_EOS) && cf_tok_id(tok, CF_TOK_EOS_ID) < 0)
        return cf_fail(err, CF_EUNSUP, "the tokenizer has no eos token");
    if ((flags & CF_TOK_SPECIAL) && tok->spm)
        return cf_fail(err, CF_EUNSUP,
                       "SentencePiece does not parse special tokens in text");
    return CF_OK;
}

/* One try with room for cap ids; *n tells how much was needed. */
static enum cf_status encode_into(const struct cf_tok *tok, const char *text, size_t len,
                                  unsigned flags, int32_t *ids, size_t cap, size_t *n,
                                  struct cf_error *err)
{
    bool bos = flags & CF_TOK_BOS, eos = flags & CF_TOK_EOS;
    size_t head = bos, room = cap > head ? cap - head : 0;

    if (tok->spm)
        return cf_spm_encode(tok->spm, text, len, bos, eos, ids, cap, n, err);
    CF_TRY(cf_bpe_encode(tok->bpe, text, len, flags & CF_TOK_SPECIAL, ids + head, room, n,
                         err));
    if (bos && cap > 0)
        ids[0] = cf_bpe_bos(tok->bpe);
    *n += head;
    if (eos && *n < cap)
        ids[*n] = cf_bpe_eos(tok->bpe);
    *n += eos;
    return CF_OK;
}

enum cf_status cf_tok_encode(const struct cf_tok *tok, const char *text, size_t len,
                             unsigned flags, int32_t **ids, size_t *n,
                             struct cf_error *err)
{
    enum cf_status st;
    size_t cap = len / 2 + 16, at;

    CF_TRY(cf_tok_check(tok, flags, err));
    if (!cf_utf8_valid(text, len, &at))
        return cf_fail(err, CF_EFORMAT, "text is not UTF-8 at byte %zu", at);
    for (;;) {
        *ids = cf_alloc(cap, sizeof(**ids), err);
        if (!*ids)
            return CF_ENOMEM;
        st = encode_into(tok, text, len, flags, *ids, cap, n, err);
        if (st == CF_OK && *n <= cap)
            return CF_OK;
        cf_free(*ids);
        *ids = NULL;
        if (st != CF_OK)
            return st;
        cap = *n;
    }
}

enum cf_status cf_tok_decode(const struct cf_tok *tok, const int32_t *ids, size_t n,
                             bool skip_special, char **text, size_t *len,
                             struct cf_error *err)
{
    if (tok->spm)
        return cf_spm_decode(tok->spm, ids, n, text, len, err);
    return cf_bpe_decode(tok->bpe, ids, n, skip_special, text, len, err);
}

int32_t cf_tok_size(const struct cf_tok *tok)
{
    return tok->spm ? cf_spm_size(tok->spm) : cf_bpe_size(tok->bpe);
}

int32_t cf_tok_id(const struct cf_tok *tok, enum cf_tok_role role)
{
    switch (role) {
    case CF_TOK_BOS_ID:
        return tok->spm ? cf_spm_bos(tok->spm) : cf_bpe_bos(tok->bpe);
    case CF_TOK_EOS_ID:
        return tok->spm ? cf_spm_eos(tok->spm) : cf_bpe_eos(tok->bpe);
    case CF_TOK_PAD_ID:
        return tok->spm ? cf_spm_pad(tok->spm) : cf_bpe_pad(tok->bpe);
    case CF_TOK_UNK_ID:
        return tok->spm ? cf_spm_unk(tok->spm) : cf_bpe_unk(tok->bpe);
    }
    return -1;
}

bool cf_tok_pad_left(const struct cf_tok *tok)
{
    return tok->bpe && cf_bpe_pad_left(tok->bpe);
}
