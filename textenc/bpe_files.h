/* bpe_files.h - reads the files of a Qwen2-style byte-level BPE tokenizer.
 *
 * Two layouts hold the same facts:
 *   tokenizer.json                              everything; merges as ["a","b"] or "a b"
 *   vocab.json, merges.txt, tokenizer_config.json   the older one; the added tokens are
 * in tokenizer_config.json A token is written in the GPT-2 alphabet: bytes 33..126,
 * 161..172 and 174..255 stand for themselves, the other 68 in ascending order for U+0100,
 * U+0101 ... Here tokens are bytes.
 *
 * Component types and the pattern are compared with what the code does; another tokenizer
 * is refused (CF_EUNSUP), never approximated. tokenizer.json's "truncation" and "padding"
 * are the caller's business and not read. */
#ifndef CF_TEXTENC_BPE_FILES_H
#define CF_TEXTENC_BPE_FILES_H

#include "textenc/vocab.h"

enum { CF_BPE_MAX_ADDED = 4096, CF_BPE_MAX_FILE = 64 << 20 };

/* A token that is matched on the raw text, before everything else. */
struct cf_added {
    char *s; /* owned; len bytes of UTF-8 */
    size_t len;
    int32_t id;
    bool special; /* left out by a decode that skips special tokens */
};

struct cf_bpe_files {
    struct cf_vocab *vocab; /* owned */
    struct cf_added *added; /* [n_added] owned, in ascending order of id */
    size_t n_added, cap_added;
    /* From tokenizer_config.json where it stands beside the others; -1: none. pad falls
     * back to "<|endoftext|>". */
    int32_t bos, eos, pad, unk;
    bool pad_left; /* its "padding_side", right when it says nothing */
};

/* path: tokenizer.json under any name; or a file named vocab.json, for the older layout;
 * or a directory, where tokenizer.json is preferred. CF_ENOENT, CF_EFORMAT, CF_EUNSUP. */
enum cf_status cf_bpe_files_open(struct cf_bpe_files *f, const char *path,
                                 struct cf_error *err);
void cf_bpe_files_close(struct cf_bpe_files *f); /* a zeroed struct is fine */

/* Id of an added token or, failing that, of a token with exactly these bytes; or NO_ID.
 */
int32_t cf_bpe_files_id(const struct cf_bpe_files *f, const char *s, size_t len);

#endif
