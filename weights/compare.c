#include "weights/compare.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "base/alloc.h"
#include "base/team.h"
#include "weights/model.h"

enum { THREADS_MAX = 16 }; /* more would only wait for the disk */

struct item {
    char *path, *file;
    char hash[CF_DIGEST_HEX];
    bool whole;
    struct cf_error err;
};

struct cf_compare {
    struct item *item;
    size_t n, cap;
    atomic_size_t next;
};

struct cf_compare *cf_compare_open(struct cf_error *err)
{
    return cf_calloc(1, sizeof(struct cf_compare), err);
}

void cf_compare_close(struct cf_compare *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < c->n; i++) {
        cf_free(c->item[i].path);
        cf_free(c->item[i].file);
    }
    cf_free(c->item);
    cf_free(c);
}

enum cf_status cf_compare_add(struct cf_compare *c, const char *path, const char *file,
                              const char *hash, bool whole, struct cf_error *err)
{
    struct item *item;

    CF_TRY(cf_grow(&c->item, &c->cap, c->n + 1, sizeof *c->item, err));
    item = &c->item[c->n];
    *item = (struct item){.whole = whole};
    memcpy(item->hash, hash, CF_DIGEST_HEX);
    item->path = cf_strdup(path, err);
    item->file = item->path ? cf_strdup(file, err) : NULL;
    if (!item->file) {
        cf_free(item->path);
        return CF_ENOMEM;
    }
    c->n++;
    return CF_OK;
}

static void compare(struct item *item)
{
    char found[CF_DIGEST_HEX];
    enum cf_status st = item->whole ? cf_digest_file(item->path, found, &item->err)
                                    : cf_model_sample(item->path, found, &item->err);

    if (st == CF_OK && strcmp(found, item->hash) != 0)
        cf_fail(&item->err, CF_EMISMATCH, "%.100s: %s is %s, model.json expects %s",
                item->file, item->whole ? "sha256" : "sample", found, item->hash);
}

static void *take(void *arg)
{
    struct cf_compare *c = arg;
    size_t i;

    while ((i = atomic_fetch_add(&c->next, 1)) < c->n)
        compare(&c->item[i]);
    return NULL;
}

enum cf_status cf_compare_run(struct cf_compare *c, struct cf_error *err)
{
    pthread_t thread[THREADS_MAX];
    struct cf_team team = {.threads = 1};
    size_t made = 0, want;

    cf_team_count(&team, 0, NULL);
    want = c->n < (size_t)team.threads ? c->n : (size_t)team.threads;
    while (made + 1 < want && made < THREADS_MAX &&
           pthread_create(&thread[made], NULL, take, c) == 0)
        made++; /* with fewer it takes longer */
    take(c);
    while (made > 0)
        pthread_join(thread[--made], NULL);
    for (size_t i = 0; i < c->n; i++)
        if (c->item[i].err.status != CF_OK)
            return cf_fail(err, c->item[i].err.status, "%s", c->item[i].err.msg);
    return CF_OK;
}
