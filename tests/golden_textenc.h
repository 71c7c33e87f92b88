/* golden_textenc.h - the text half of the golden checker, in parts.
 *
 * What a file is follows from what it holds and what lies beside it, never from sizes or
 * exact names, so that other sets in the same schemas (tests/golden/textenc/README.md)
 * run through the same code. */
#ifndef CF_TESTS_GOLDEN_TEXTENC_H
#define CF_TESTS_GOLDEN_TEXTENC_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "tests/golden.h"
#include "textenc/tokenizer.h"

enum { GOLDEN_PATH = 4096, GOLDEN_WHY = 600 };

/* One directory being looked at. */
struct golden_dir {
    struct cf_golden *g;
    const char *root; /* names are told relative to it */
    const char *path;
    char **name; /* [n] regular files, sorted */
    size_t n;
    int found; /* fixtures reported so far */
};

/* Counts one fixture: name is a file of d, detail a word in brackets or NULL. */
void golden_tell(struct golden_dir *d, const char *name, const char *detail, double worst,
                 double tolerance, const char *fail_or_null);
/* A file that this program does not check; counts neither way. */
void golden_not_covered(struct golden_dir *d, const char *name, const char *why);

bool golden_ends(const char *name, const char *tail);
bool golden_starts(const char *name, const char *head);
bool golden_has(const struct golden_dir *d, const char *name);
void golden_path(char buf[GOLDEN_PATH], const struct golden_dir *d, const char *name);

/* The records of a .jsonl file as an array, or any .json file; NULL: unreadable. Texts
 * may hold NUL. */
json_t *golden_lines(const char *path);
json_t *golden_json(const char *path);

/* Where the first wrong record of an exact fixture is kept. */
struct golden_count {
    int wrong, total;
    char first[GOLDEN_WHY];
};
void golden_wrong(struct golden_count *c, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void golden_tell_count(struct golden_dir *d, const char *name, const char *detail,
                       const struct golden_count *c);

/* golden_tok.c: tokenizers and their .jsonl, chats, the pattern alone. */
void golden_tokenizers(struct golden_dir *d);
/* golden_t5_tok.c: what transformers' T5 tokenizer gave, against SentencePiece and eos:
 * lines of text, and texts truncated and padded. */
void golden_t5_lines(struct golden_dir *d, const char *name, const struct cf_tok *tok);
void golden_t5_padded(struct golden_dir *d, const char *name, const struct cf_tok *tok);
bool golden_same_ids(const json_t *want, const int32_t *ids, size_t n);
void golden_chats(struct golden_dir *d, const char *name, const json_t *cases);

/* golden_encoder.c: encoders and their golden tensors, configs to take or refuse, T5's
 * buckets. */
void golden_encoder(struct golden_dir *d);
void golden_configs(struct golden_dir *d, const char *name, const json_t *cases);
void golden_buckets(struct golden_dir *d, const char *name);

#endif
