#include "weights/ahead.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "weights/checkpoint.h"

enum { PAGE = 4096, STRETCH = 1 << 20 }; /* bytes between two looks at stop */

struct range {
    const char *at;
    size_t n;
};

struct cf_ahead {
    struct range *range;
    size_t n, cap;
    struct cf_ckpt **ckpt; /* owned: they keep the ranges mapped */
    size_t n_ckpt, cap_ckpt;
    struct range *file; /* owned maps */
    size_t n_file, cap_file;
    pthread_t thread;
    bool runs;
    atomic_bool stop;
};

struct cf_ahead *cf_ahead_open(struct cf_error *err)
{
    return cf_calloc(1, sizeof(struct cf_ahead), err);
}

void cf_ahead_close(struct cf_ahead *a)
{
    if (!a)
        return;
    atomic_store(&a->stop, true);
    if (a->runs)
        pthread_join(a->thread, NULL);
    for (size_t i = 0; i < a->n_ckpt; i++)
        cf_ckpt_close(a->ckpt[i]);
    for (size_t i = 0; i < a->n_file; i++)
        munmap((void *)(uintptr_t)a->file[i].at, a->file[i].n);
    cf_free(a->file);
    cf_free(a->ckpt);
    cf_free(a->range);
    cf_free(a);
}

static enum cf_status add(struct cf_ahead *a, const void *at, size_t n,
                          struct cf_error *err)
{
    CF_TRY(cf_grow(&a->range, &a->cap, a->n + 1, sizeof *a->range, err));
    a->range[a->n++] = (struct range){at, n};
    return CF_OK;
}

enum cf_status cf_ahead_tensors(struct cf_ahead *a, const char *path, const char *but,
                                struct cf_error *err)
{
    struct cf_ckpt *ckpt;

    CF_TRY(cf_grow(&a->ckpt, &a->cap_ckpt, a->n_ckpt + 1, sizeof *a->ckpt, err));
    CF_TRY(cf_ckpt_open(&ckpt, path, err));
    a->ckpt[a->n_ckpt++] = ckpt;
    for (int i = 0; i < cf_ckpt_count(ckpt); i++) {
        const struct cf_view *v = cf_ckpt_view(ckpt, i);

        if (but && strncmp(cf_ckpt_name(ckpt, i), but, strlen(but)) == 0)
            continue;
        CF_TRY(add(a, v->data, (size_t)cf_view_count(v) * cf_dtype_size(v->dtype), err));
    }
    return CF_OK;
}

enum cf_status cf_ahead_file(struct cf_ahead *a, const char *path, struct cf_error *err)
{
    size_t n;
    void *map;
    int fd;

    if (access(path, R_OK) != 0)
        return CF_OK;
    CF_TRY(cf_grow(&a->file, &a->cap_file, a->n_file + 1, sizeof *a->file, err));
    fd = cf_file_open(path, &n, err);
    if (fd < 0)
        return err->status;
    map = n ? mmap(NULL, n, PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;
    close(fd);
    if (map == MAP_FAILED)
        return CF_OK;
    a->file[a->n_file++] = (struct range){map, n};
    return add(a, map, n, err);
}

static void *run(void *arg)
{
    struct cf_ahead *a = arg;

    for (size_t i = 0; i < a->n; i++)
        for (size_t at = 0; at < a->range[i].n; at += PAGE) {
            (void)*(volatile const char *)(a->range[i].at + at);
            if (at % STRETCH == 0 && atomic_load(&a->stop))
                return NULL;
        }
    return NULL;
}

void cf_ahead_start(struct cf_ahead *a)
{
    a->runs = pthread_create(&a->thread, NULL, run, a) == 0;
}
