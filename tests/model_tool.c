/* model_tool.c - files of weights for tests/cli/model_convert.sh, as people download
 * them.
 *
 *   model_tool wrap [--plain] OUT [PREFIX=]IN...
 *       the tensors of all IN in one file, under PREFIX: nested dictionaries of a PyTorch
 *       file where OUT ends in .pth, else safetensors. --plain: names without the inner
 *       ".conv" and ".norm". IN "+NAME" is a tensor of that name, of one float
 *   model_tool shard pth|safetensors DIR IN
 *       IN in two files of DIR and an index, as a folder for transformers has them
 *   model_tool same A B
 *       both hold the same tensors: names, types, shapes, bytes */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zip.h>

#include "base/alloc.h"
#include "models/vae_keys.h"
#include "weights/source.h"
#include "weights/st_write.h"

static struct cf_error err;

static void die(const char *what)
{
    fprintf(stderr, "model_tool: %s: %s\n", what, err.msg);
    exit(1);
}

static void must(enum cf_status status, const char *what)
{
    if (status != CF_OK)
        die(what);
}

/* ---- tensors of all inputs ---- */

struct tensor {
    char name[512];
    struct cf_view view;
    void *own; /* its bytes; NULL for a constant */
    size_t bytes;
};

struct list {
    struct tensor *t;
    size_t n, cap;
};

static struct tensor *add(struct list *l, const char *prefix, int len, const char *name,
                          bool plain)
{
    char buf[CF_KEY_NAME];

    must(cf_grow(&l->t, &l->cap, l->n + 1, sizeof *l->t, &err), name);
    snprintf(l->t[l->n].name, sizeof l->t[l->n].name, "%.*s%s%s", len, prefix,
             len ? "." : "", plain ? cf_vae_plain(buf, name) : name);
    l->t[l->n].own = NULL;
    return &l->t[l->n++];
}

static void drop(struct list *l)
{
    for (size_t i = 0; i < l->n; i++)
        cf_free(l->t[i].own);
    cf_free(l->t);
}

static void add_file(struct list *l, const char *arg, bool plain)
{
    static const float one = 1;
    const char *equals = strchr(arg, '=');
    int len = equals ? (int)(equals - arg) : 0;
    const char *path = equals ? equals + 1 : arg;
    struct cf_source *src;

    if (path[0] == '+') {
        struct tensor *t = add(l, arg, len, path + 1, false);

        t->view = (struct cf_view){.data = &one, .dtype = CF_F32, .ndim = 1, .dim = {1}};
        t->bytes = sizeof one;
        return;
    }
    must(cf_source_open(&src, path, &err), path);
    for (int i = 0; i < cf_source_count(src); i++) {
        struct tensor *t = add(l, arg, len, cf_source_name(src, i), plain);
        void *data = cf_alloc(cf_source_bytes(src, i), 1, &err);

        if (!data)
            die(path);
        must(cf_source_read(src, i, data, &err), path);
        t->view = *cf_source_shape(src, i);
        t->view.data = t->own = data;
        t->bytes = cf_source_bytes(src, i);
    }
    cf_source_close(src);
}

static void write_safetensors(const struct list *l, const char *path)
{
    struct cf_st_writer *w;

    must(cf_st_writer_open(&w, path, &err), path);
    for (size_t i = 0; i < l->n; i++)
        must(cf_st_declare(w, l->t[i].name, l->t[i].view.dtype, l->t[i].view.ndim,
                           l->t[i].view.dim, &err),
             path);
    must(cf_st_begin(w, NULL, &err), path);
    for (size_t i = 0; i < l->n; i++)
        must(cf_st_put(w, l->t[i].name, l->t[i].view.data, l->t[i].bytes, &err), path);
    must(cf_st_finish(w, &err), path);
}

/* ---- what torch.save writes: a zip of a pickle and a file for each storage ---- */

struct pickle {
    unsigned char *b;
    size_t n, cap;
};

static void put(struct pickle *p, const void *bytes, size_t n)
{
    must(cf_grow(&p->b, &p->cap, p->n + n, 1, &err), "pickle");
    memcpy(p->b + p->n, bytes, n);
    p->n += n;
}

static void put_text(struct pickle *p, const char *text)
{
    put(p, text, strlen(text));
}

static void put_string(struct pickle *p, const char *s, size_t len)
{
    unsigned char head[5] = {'X', (unsigned char)len, (unsigned char)(len >> 8)};

    put(p, head, sizeof head);
    put(p, s, len);
}

static void put_int(struct pickle *p, int64_t v)
{
    unsigned char head[5] = {'J'};

    for (int i = 0; i < 4; i++)
        head[1 + i] = (unsigned char)(v >> 8 * i);
    put(p, head, sizeof head);
}

static const char *storage(enum cf_dtype t)
{
    switch (t) {
    case CF_F32:
        return "ctorch\nFloatStorage\n";
    case CF_F16:
        return "ctorch\nHalfStorage\n";
    case CF_BF16:
        return "ctorch\nBFloat16Storage\n";
    case CF_I64:
        return "ctorch\nLongStorage\n";
    default:
        die(cf_dtype_name(t));
        return NULL;
    }
}

static void put_tensor(struct pickle *p, const struct tensor *t, size_t number)
{
    int64_t stride = 1, strides[CF_MAX_DIM];
    char key[32];

    put_text(p, "ctorch._utils\n_rebuild_tensor_v2\n((");
    put_string(p, "storage", 7);
    put_text(p, storage(t->view.dtype));
    put_string(p, key, (size_t)snprintf(key, sizeof key, "%zu", number));
    put_string(p, "cpu", 3);
    put_int(p, cf_view_count(&t->view));
    put_text(p, "tQ");
    put_int(p, 0);
    for (int i = t->view.ndim - 1; i >= 0; i--) {
        strides[i] = stride;
        stride *= t->view.dim[i];
    }
    put_text(p, "(");
    for (int i = 0; i < t->view.ndim; i++)
        put_int(p, t->view.dim[i]);
    put_text(p, "t(");
    for (int i = 0; i < t->view.ndim; i++)
        put_int(p, strides[i]);
    put_text(p, "t\x89"
                "ccollections\nOrderedDict\n)RtR");
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct tensor *)a)->name, ((const struct tensor *)b)->name);
}

/* A level of dictionaries for each component that comes from a prefix, found as a tree of
 * sorted names: tensors begin .. end-1 share their first skip bytes. */
static void put_dict(struct pickle *p, const struct list *l, size_t begin, size_t end,
                     size_t skip, int levels)
{
    put_text(p, "}(");
    while (begin < end) {
        const char *name = l->t[begin].name + skip;
        size_t len = strcspn(name, "."), next = begin + 1;

        if (levels == 0 || name[len] == '\0') {
            put_string(p, name, strlen(name));
            put_tensor(p, &l->t[begin], begin);
        } else {
            while (next < end && strncmp(l->t[next].name + skip, name, len + 1) == 0)
                next++;
            put_string(p, name, len);
            put_dict(p, l, begin, next, skip + len + 1, levels - 1);
        }
        begin = next;
    }
    put_text(p, "u");
}

static void put_entry(zip_t *zip, const char *name, const void *bytes, size_t n)
{
    zip_source_t *src = zip_source_buffer(zip, bytes, n, 0);
    zip_int64_t i = zip_file_add(zip, name, src, 0);

    if (i < 0 || zip_set_file_compression(zip, (zip_uint64_t)i, ZIP_CM_STORE, 0) != 0)
        die(zip_strerror(zip));
}

static void write_pth(struct list *l, const char *path, int levels)
{
    struct pickle p = {0};
    char name[64];
    zip_t *zip = zip_open(path, ZIP_CREATE | ZIP_TRUNCATE, NULL);

    if (!zip)
        die(path);
    qsort(l->t, l->n, sizeof *l->t, by_name);
    put_text(&p, "\x80\x02");
    put_dict(&p, l, 0, l->n, 0, levels);
    put_text(&p, ".");
    put_entry(zip, "archive/data.pkl", p.b, p.n);
    for (size_t i = 0; i < l->n; i++) {
        snprintf(name, sizeof name, "archive/data/%zu", i);
        put_entry(zip, name, l->t[i].view.data, l->t[i].bytes);
    }
    put_entry(zip, "archive/version", "3\n", 2);
    if (zip_close(zip) != 0)
        die(zip_strerror(zip));
    cf_free(p.b);
}

/* ---- commands ---- */

static bool ends(const char *s, const char *tail)
{
    size_t n = strlen(s), m = strlen(tail);

    return n >= m && strcmp(s + n - m, tail) == 0;
}

static void write_any(struct list *l, const char *path, int levels)
{
    if (ends(path, ".pth") || ends(path, ".bin"))
        write_pth(l, path, levels);
    else
        write_safetensors(l, path);
}

static void wrap(int argc, char **argv)
{
    bool plain = argc > 0 && strcmp(argv[0], "--plain") == 0;
    struct list l = {0};
    int levels = 0;

    for (int i = plain + 1; i < argc; i++) {
        const char *equals = strchr(argv[i], '=');
        int dots = equals != NULL;

        for (const char *c = argv[i]; equals && c < equals; c++)
            dots += *c == '.';
        levels = dots > levels ? dots : levels;
        add_file(&l, argv[i], plain);
    }
    write_any(&l, argv[plain], levels);
    drop(&l);
}

static void shard(const char *format, const char *dir, const char *in)
{
    bool pth = strcmp(format, "pth") == 0;
    const char *stem = pth ? "pytorch_model" : "model",
               *ext = pth ? "bin" : "safetensors";
    struct list all = {0};
    char path[1024], file[64];
    FILE *index;

    add_file(&all, in, false);
    snprintf(path, sizeof path, "%s/%s.%s.index.json", dir, stem, ext);
    index = fopen(path, "w");
    if (!index)
        die(path);
    fprintf(index, "{\"metadata\": {}, \"weight_map\": {");
    for (size_t s = 0; s < 2; s++) {
        size_t from = s ? all.n / 2 : 0, to = s ? all.n : all.n / 2;
        struct list part = {all.t + from, to - from, 0};

        snprintf(file, sizeof file, "%s-0000%zu-of-00002.%s", stem, s + 1, ext);
        snprintf(path, sizeof path, "%s/%s", dir, file);
        for (size_t i = from; i < to; i++)
            fprintf(index, "%s\"%s\": \"%s\"", i ? ", " : "", all.t[i].name, file);
        write_any(&part, path, 0);
    }
    fprintf(index, "}}\n");
    fclose(index);
    drop(&all);
}

static void same(const char *a, const char *b)
{
    struct list l[2] = {0};

    add_file(&l[0], a, false);
    add_file(&l[1], b, false);
    if (l[0].n != l[1].n) {
        fprintf(stderr, "%s has %zu tensors, %s %zu\n", a, l[0].n, b, l[1].n);
        exit(1);
    }
    for (size_t i = 0; i < l[0].n; i++) {
        const struct tensor *x = &l[0].t[i], *y = &l[1].t[i];

        if (strcmp(x->name, y->name) != 0 || x->view.dtype != y->view.dtype ||
            x->view.ndim != y->view.ndim ||
            memcmp(x->view.dim, y->view.dim,
                   sizeof *x->view.dim * (size_t)x->view.ndim) != 0 ||
            x->bytes != y->bytes || memcmp(x->view.data, y->view.data, x->bytes) != 0) {
            fprintf(stderr, "%s of %s is not %s of %s\n", x->name, a, y->name, b);
            exit(1);
        }
    }
    drop(&l[0]);
    drop(&l[1]);
}

int main(int argc, char **argv)
{
    if (argc >= 4 && strcmp(argv[1], "wrap") == 0)
        wrap(argc - 2, argv + 2);
    else if (argc == 5 && strcmp(argv[1], "shard") == 0)
        shard(argv[2], argv[3], argv[4]);
    else if (argc == 4 && strcmp(argv[1], "same") == 0)
        same(argv[2], argv[3]);
    else
        return 64;
    return 0;
}
