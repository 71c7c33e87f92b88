/* Names and shapes of a hostile file, told for what they are: a line a tensor, its name
 * and then its dimensions, "head.bias 112". */
#include <string.h>

#include "models/detect.h"
#include "models/infinity_keys.h"
#include "models/vae_keys.h"
#include "tests/fuzz/fuzz.h"
#include "textenc/qwen2_keys.h"

enum { ROOM = 400 };

static struct {
    char name[ROOM][200];
    struct cf_view view[ROOM];
    int n;
} list;

static int count_of(const void *from)
{
    (void)from;
    return list.n;
}

static const char *name_of(const void *from, int i)
{
    (void)from;
    return list.name[i];
}

static const struct cf_view *view_of(const void *from, int i)
{
    (void)from;
    return &list.view[i];
}

static int index_of(const void *from, const char *name)
{
    (void)from;
    for (int i = 0; i < list.n; i++)
        if (strcmp(list.name[i], name) == 0)
            return i;
    return -1;
}

static void read_line(char *line)
{
    struct cf_view *v = &list.view[list.n];
    char *rest, *word = strtok_r(line, " ", &rest);

    if (!word)
        return;
    snprintf(list.name[list.n], sizeof list.name[0], "%s", word);
    *v = (struct cf_view){.dtype = CF_BF16};
    while (v->ndim < CF_MAX_DIM && (word = strtok_r(NULL, " ", &rest)) != NULL) {
        long long d = strtoll(word, NULL, 10);

        v->dim[v->ndim++] = d < 0 ? 0 : d;
    }
    list.n++;
}

/* What was found is fit to be walked and written down. */
static enum cf_status count(void *ctx, const struct cf_key *key, struct cf_error *err)
{
    (void)err;
    for (int d = 0; d < key->ndim; d++)
        if (key->dim[d] < 1)
            abort();
    ++*(int *)ctx;
    return CF_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct cf_shapes in = {"fuzz", &list, count_of, name_of, view_of, index_of, ""};
    char *text = malloc(n + 1), *rest, *line;
    char qwen[CF_KEY_NAME];
    struct cf_error err[6] = {0};
    struct cf_inf_shape inf;
    struct cf_vae_shape vae;
    bool encoder, is_vae;
    int keys = 0;

    if (!text)
        abort();
    memcpy(text, bytes, n);
    text[n] = '\0';
    list.n = 0;
    for (line = strtok_r(text, "\n", &rest); line && list.n < ROOM;
         line = strtok_r(NULL, "\n", &rest))
        read_line(line);
    free(text);
    cf_qwen2_prefix(qwen, &in, &err[0]);
    is_vae = cf_vae_detect(&vae, &encoder, &in, &err[1]) == CF_OK;
    if (is_vae && cf_vae_keys(&vae, encoder, count, &keys, &err[2]) != CF_OK)
        abort();
    if (cf_shapes_begins(&in, "trainer.gpt_fsdp."))
        in.prefix = "trainer.gpt_fsdp";
    if (cf_inf_detect(&inf, &in, &err[4]) == CF_OK) {
        if (cf_inf_keys(&inf, count, &keys, &err[2]) != CF_OK)
            abort();
        if (is_vae)
            cf_pair_vae(&inf, &vae, &err[5]);
    }
    return 0;
}
