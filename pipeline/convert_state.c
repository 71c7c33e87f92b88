#include "pipeline/convert_state.h"

#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

#include "models/detect.h"

const char *const cf_state_of_transformer[] = {"word_embed.weight", NULL};
const char *const cf_state_of_vae[] = {"decoder.conv_in.conv.weight",
                                       "decoder.conv_in.weight", NULL};

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

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool cf_state_is_average(const char *prefix)
{
    for (const char *p = prefix; (p = strcasestr(p, "ema")) != NULL; p += 3)
        if ((p == prefix || !is_letter(p[-1])) && !is_letter(p[3]))
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
    return cf_fail(err, CF_EMISMATCH,
                   "%.150s: %s: %.150s; convert --key=%s=PREFIX takes one", path,
                   plain ? "several sets of weights"
                         : "only averaged weights (EMA), which make other images",
                   all, what);
}

/* What a file that holds no such model does hold. */
static enum cf_status tell_none(const struct cf_source *src, const char *what,
                                const char *anchor, struct cf_error *err)
{
    const char *path = cf_source_path(src);
    struct cf_shapes in = cf_shapes_of_source(src);
    char first[CF_STATE_NAME] = "";

    for (int i = 0; i < cf_source_count(src) && i < 3; i++)
        add_word(first, sizeof first, cf_source_name(src, i));
    return cf_fail(err, CF_ENOENT,
                   "%.150s: no %s in it (no tensor %s); it seems to be %s; the names "
                   "begin with %.120s%s",
                   path, what, anchor, cf_detect_seems(&in), first,
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

bool cf_state_ignores(const char *const *ignore, const char *name)
{
    for (; ignore && *ignore; ignore++)
        if (fnmatch(*ignore, name, 0) == 0)
            return true;
    return false;
}

/* ---- what was chosen, as names and shapes ---- */

static bool visible(const struct cf_state_seen *seen, const char *name)
{
    return !cf_state_is_other(seen->state, name) && !cf_state_ignores(seen->ignore, name);
}

static int seen_count(const void *from)
{
    return cf_source_count(((const struct cf_state_seen *)from)->src);
}

static const char *seen_name(const void *from, int i)
{
    const struct cf_state_seen *seen = from;
    const char *name = cf_source_name(seen->src, i);

    return visible(seen, name) ? name : NULL;
}

static const struct cf_view *seen_view(const void *from, int i)
{
    return cf_source_shape(((const struct cf_state_seen *)from)->src, i);
}

static int seen_index(const void *from, const char *name)
{
    const struct cf_state_seen *seen = from;

    return visible(seen, name) ? cf_source_index(seen->src, name) : -1;
}

struct cf_shapes cf_state_shapes(const struct cf_state_seen *seen)
{
    return (struct cf_shapes){.where = cf_source_path(seen->src),
                              .from = seen,
                              .count = seen_count,
                              .name = seen_name,
                              .view = seen_view,
                              .index = seen_index,
                              .prefix = ""};
}
