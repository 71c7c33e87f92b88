#include "pipeline/convert_state.h"

#include <stdio.h>
#include <string.h>

/* Adds "a" of "a, b" to a bounded text; what does not fit is left out. */
static void add_word(char *text, size_t size, const char *word)
{
    size_t len = strlen(text);

    snprintf(text + len, size - len, "%s%s", len ? ", " : "", *word ? word : "the top");
}

static enum cf_status add(struct cf_state *c, const char *path, const char *name,
                          size_t len, struct cf_error *err)
{
    for (int i = 0; i < c->n; i++)
        if (strlen(c->prefix[i]) == len && strncmp(c->prefix[i], name, len) == 0)
            return CF_OK;
    if (len >= CF_STATE_NAME || c->n == CF_STATES)
        return cf_fail(err, CF_EUNSUP, "%.200s: %s", path,
                       c->n == CF_STATES ? "more sets of weights than one can choose"
                                         : "names of that length are not read");
    memcpy(c->prefix[c->n], name, len);
    c->prefix[c->n++][len] = '\0';
    return CF_OK;
}

static enum cf_status look(struct cf_state *c, const struct cf_source *src,
                           const char *const *anchor, struct cf_error *err)
{
    for (int i = 0; i < cf_source_count(src); i++) {
        const char *name = cf_source_name(src, i);
        size_t len = strlen(name);

        for (const char *const *a = anchor; *a; a++) {
            size_t tail = strlen(*a);

            if (len < tail || strcmp(name + len - tail, *a) != 0)
                continue;
            if (len == tail)
                CF_TRY(add(c, cf_source_path(src), name, 0, err));
            else if (name[len - tail - 1] == '.')
                CF_TRY(add(c, cf_source_path(src), name, len - tail - 1, err));
        }
    }
    return CF_OK;
}

bool cf_state_is_average(const char *prefix)
{
    for (const char *p = prefix; (p = strstr(p, "ema")) != NULL; p += 3)
        if ((p == prefix || p[-1] == '.' || p[-1] == '_') &&
            (p[3] == '\0' || p[3] == '.' || p[3] == '_'))
            return true;
    return false;
}

/* The candidate that key means: itself, or the only one below it. -1: none or several. */
static int below(const struct cf_state *c, const char *key)
{
    size_t len = strlen(key);
    int found = -1, n = 0;

    for (int i = 0; i < c->n; i++) {
        if (strcmp(c->prefix[i], key) == 0)
            return i;
        if (strncmp(c->prefix[i], key, len) == 0 && c->prefix[i][len] == '.') {
            found = i;
            n++;
        }
    }
    return n == 1 ? found : -1;
}

static enum cf_status choose(int *chosen, const struct cf_state *c, const char *path,
                             const char *what, const char *key, struct cf_error *err)
{
    char all[2 * CF_STATE_NAME] = "";
    int plain = 0;

    for (int i = 0; i < c->n; i++) {
        add_word(all, sizeof all, c->prefix[i]);
        if (!cf_state_is_average(c->prefix[i])) {
            *chosen = i;
            plain++;
        }
    }
    if (key) {
        *chosen = below(c, key);
        return *chosen >= 0 ? CF_OK
                            : cf_fail(err, CF_ENOENT,
                                      "%.150s: no %s under the key \"%.60s\"; there is: "
                                      "%.150s",
                                      path, what, key, all);
    }
    if (plain == 1)
        return CF_OK;
    return cf_fail(err, CF_EMISMATCH, "%.150s: %s: %.150s; say which: --key=%s=PREFIX",
                   path,
                   plain ? "several sets of weights"
                         : "only averaged weights (EMA), which make other images",
                   all, what);
}

/* Which of the other models it is, by tensors that only one of them has; NULL: none. */
static const char *recognize(const struct cf_source *src)
{
    static const char *const of[][2] = {
        {"word_embed.weight", "a transformer: --transformer"},
        {"decoder.conv_in.conv.weight", "a tokenizer: --vae"},
        {"decoder.conv_in.weight", "a tokenizer: --vae"},
        {"embed_tokens.weight", "a text encoder: --text-encoder, with its folder"},
        {"shared.weight", "a text encoder: --text-encoder, with its folder"},
    };

    for (int i = 0; i < cf_source_count(src); i++)
        for (size_t k = 0; k < sizeof of / sizeof of[0]; k++) {
            const char *name = cf_source_name(src, i);
            size_t len = strlen(name), tail = strlen(of[k][0]);

            if (len >= tail && strcmp(name + len - tail, of[k][0]) == 0 &&
                (len == tail || name[len - tail - 1] == '.'))
                return of[k][1];
        }
    return NULL;
}

/* What a file that holds no such model does hold. */
static enum cf_status tell_none(const struct cf_source *src, const char *what,
                                const char *anchor, struct cf_error *err)
{
    const char *path = cf_source_path(src), *other = recognize(src);
    char first[CF_STATE_NAME] = "";

    for (int i = 0; i < cf_source_count(src) && i < 3; i++)
        add_word(first, sizeof first, cf_source_name(src, i));
    if (other)
        return cf_fail(err, CF_ENOENT,
                       "%.150s: no %s in it: no tensor is called %s; this seems to be %s",
                       path, what, anchor, other);
    return cf_fail(err, CF_ENOENT,
                   "%.150s: no %s in it: no tensor is called %s; the names begin with "
                   "%.150s%s",
                   path, what, anchor, first,
                   strstr(path, "-of-") ? "; of shards name the folder" : "");
}

enum cf_status cf_state_enter(struct cf_state *state, struct cf_source *src,
                              const char *what, const char *const *anchor,
                              const char *key, struct cf_error *err)
{
    int all = cf_source_count(src);

    memset(state, 0, sizeof *state);
    CF_TRY(look(state, src, anchor, err));
    if (state->n == 0)
        return tell_none(src, what, anchor[0], err);
    CF_TRY(choose(&state->chosen, state, cf_source_path(src), what, key, err));
    CF_TRY(cf_source_enter(src, state->prefix[state->chosen], err));
    state->outside = all - cf_source_count(src);
    return CF_OK;
}

bool cf_state_is_other(const struct cf_state *state, const char *name)
{
    const char *own = state->prefix[state->chosen];
    size_t skip = *own ? strlen(own) + 1 : 0;

    for (int i = 0; i < state->n; i++) {
        const char *other = state->prefix[i];
        size_t len = strlen(other);

        if (i == state->chosen || len <= skip || strncmp(other, own, skip ? skip - 1 : 0))
            continue;
        if (strncmp(name, other + skip, len - skip) == 0 && name[len - skip] == '.')
            return true;
    }
    return false;
}
