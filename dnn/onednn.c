/* onednn.c - convolutions with pinned weights; what is common to oneDNN 2.6 and 3.x. */
#include "dnn/onednn.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "dnn/machine.h"
#include "dnn/onednn_pack.h"
#include "dnn/packs.h"

enum {
    PRIMITIVES = 24, /* cached per convolution: more sizes than one image has scales */
    NAME_MAX_LEN = 64,
};

struct cf_one {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    enum cf_cpu level;
    char *scratch; /* owned; grows to the largest scratchpad asked for */
    size_t scratch_size;
};

struct primitive {
    struct cf_one_size size; /* h == 0: free */
    uint64_t used;
    dnnl_primitive_t prim;
    dnnl_memory_t src, dst, pad;
    size_t pad_size;
};

struct cf_one_conv {
    struct cf_one *one; /* borrowed */
    struct cf_one_geom geom;
    char name[NAME_MAX_LEN];
    struct cf_md wei_md, bias_md;
    struct cf_pack wei;
    float *bias; /* owned */
    dnnl_memory_t wei_mem, bias_mem;
    uint64_t clock;
    struct primitive prim[PRIMITIVES];
};

static enum cf_status failed(struct cf_error *err, dnnl_status_t st, const char *what)
{
    if (st == dnnl_out_of_memory)
        return cf_fail(err, CF_ENOMEM, "oneDNN: %s: out of memory", what);
    return cf_fail(err, st == dnnl_unimplemented ? CF_EUNSUP : CF_EBUG,
                   "oneDNN: %s: status %d", what, (int)st);
}

#define DNN_TRY(call, err)                                                               \
    do {                                                                                 \
        dnnl_status_t dnn_try_status = (call);                                           \
        if (dnn_try_status != dnnl_success)                                              \
            return failed(err, dnn_try_status, #call);                                   \
    } while (0)

/* oneDNN compiles kernels into fresh pages and does not look whether it got them: where
 * address space has run out it dies of SIGSEGV or of a C++ exception that nobody may
 * catch here. So the space is asked for first. */
static dnnl_status_t create(dnnl_primitive_t *prim, const_dnnl_primitive_desc_t pd)
{
    enum { ROOM = 8 << 20 };
    void *room =
        mmap(NULL, ROOM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (room == MAP_FAILED)
        return dnnl_out_of_memory;
    munmap(room, ROOM);
    return dnnl_primitive_create(prim, pd);
}

/* The limit is one per process and can be set only before oneDNN looks at the processor;
 * setting the same limit again fails too, so what is in force is compared. */
static enum cf_status hold_level(enum cf_cpu level, struct cf_error *err)
{
#if defined(__x86_64__)
    static const struct {
        dnnl_cpu_isa_t isa;
    } limit[] = {
        [CF_CPU_C] = {dnnl_cpu_isa_sse41},
        [CF_CPU_AVX2] = {dnnl_cpu_isa_avx2},
        [CF_CPU_AVX512] = {dnnl_cpu_isa_avx512_core},
    };
    dnnl_cpu_isa_t want = limit[level].isa;

    if (dnnl_set_max_cpu_isa(want) != dnnl_success &&
        dnnl_get_effective_cpu_isa() != want)
        return cf_fail(err, CF_ECONFIG,
                       "oneDNN already runs at another level than %s in this process",
                       cf_cpu_name(level));
#else
    (void)level;
    (void)err;
#endif
    return CF_OK;
}

enum cf_status cf_one_open(struct cf_one **out, enum cf_cpu level, struct cf_error *err)
{
    struct cf_one *one;
    dnnl_status_t st;

    *out = NULL;
    CF_TRY(hold_level(level, err));
    one = cf_calloc(1, sizeof *one, err);
    if (!one)
        return CF_ENOMEM;
    one->level = level;
    st = dnnl_engine_create(&one->engine, dnnl_cpu, 0);
    if (st == dnnl_success)
        st = dnnl_stream_create(&one->stream, one->engine, dnnl_stream_in_order);
    if (st != dnnl_success) {
        cf_one_close(one);
        return failed(err, st, "engine");
    }
    *out = one;
    return CF_OK;
}

void cf_one_close(struct cf_one *one)
{
    if (!one)
        return;
    dnnl_stream_destroy(one->stream);
    dnnl_engine_destroy(one->engine);
    cf_free(one->scratch);
    cf_free(one);
}

const char *cf_one_version(void)
{
    static _Thread_local char text[32];
    const dnnl_version_t *v = dnnl_version();

    snprintf(text, sizeof text, "%d.%d.%d", v->major, v->minor, v->patch);
    return text;
}

static int is_1x1(const struct cf_one_geom *g)
{
    return g->kh == 1 && g->kw == 1 && g->stride == 1 && !g->top && !g->left &&
           !g->bottom && !g->right;
}

/* Of the kernels for 1x1, the jit_1x1 family adds in an order that does not depend on the
 * number of pixels; others (brgemm, gemm) do not promise that, and brgemm's are not there
 * for every size. Likewise jit: among the direct kernels, whose layout of the weights is
 * the same for all sizes. */
static int accept_jit(const char *name, const void *arg)
{
    const struct cf_one_conv *conv = arg;
    const char *family = is_1x1(&conv->geom) ? "jit_1x1:" : "jit:";

    return strncmp(name, family, strlen(family)) == 0;
}

static int accept_any(const char *name, const void *arg)
{
    (void)name;
    (void)arg;
    return 1;
}

static int accept_same(const char *name, const void *arg)
{
    const struct cf_one_conv *conv = arg;

    return strncmp(name, conv->name, sizeof conv->name - 1) == 0;
}

/* Descriptor for an input of one size, with weights as wei says. */
static dnnl_status_t describe(const struct cf_one_conv *conv, dnnl_primitive_desc_t *pd,
                              struct cf_one_size s, const struct cf_md *wei,
                              int (*accept)(const char *, const void *))
{
    const struct cf_one_geom *g = &conv->geom;
    int64_t oh = (s.h + s.top + s.bottom - g->kh) / g->stride + 1;
    int64_t ow = (s.w + g->left + g->right - g->kw) / g->stride + 1;
    dnnl_dims_t src_dim = {1, g->ic, s.h, s.w}, dst_dim = {1, g->oc, oh, ow};
    struct cf_md src = {0}, dst = {0};
    struct cf_conv_args args = {
        .src = &src,
        .wei = wei,
        .bias = conv->bias ? &conv->bias_md : NULL,
        .dst = &dst,
        .stride = {g->stride, g->stride},
        .pad_l = {s.top, g->left},
        .pad_r = {s.bottom, g->right},
    };
    dnnl_primitive_attr_t attr = NULL;
    dnnl_status_t st = dnnl_primitive_attr_create(&attr);

    if (st == dnnl_success)
        st = dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user);
    if (st == dnnl_success)
        st = cf_md_init(&src, 4, src_dim, dnnl_nhwc);
    if (st == dnnl_success)
        st = cf_md_init(&dst, 4, dst_dim, dnnl_nhwc);
    if (st == dnnl_success)
        st = cf_conv_desc(pd, conv->one->engine, &args, attr, accept, conv);
    cf_md_close(&src);
    cf_md_close(&dst);
    dnnl_primitive_attr_destroy(attr);
    return st;
}

/* The layout in words, and v in it. */
static enum cf_status pack(struct cf_one_conv *conv, struct cf_dnn *dnn,
                           const struct cf_view *v, struct cf_error *err)
{
    const struct cf_one_geom *g = &conv->geom;
    struct cf_one_source source = {.dnn = dnn, .v = v};
    struct cf_md_blocks *b = &source.blocks;
    char format[CF_PACK_FORMAT];
    int at;

    source.bytes = cf_md_size(&conv->wei_md);
    DNN_TRY(cf_md_blocks(b, &conv->wei_md), err);
    at = snprintf(format, sizeof format, "onednn f32 %dx%dx%dx%d", g->oc, g->ic, g->kh,
                  g->kw);
    for (int j = 0; j < b->n; j++)
        at += snprintf(format + at, sizeof format - (size_t)at, "%s%lld%c", j ? "" : " ",
                       (long long)b->size[j], "oihw"[b->dim[j]]);
    CF_TRY(cf_pack_get(&conv->wei, dnn, format, source.bytes, cf_one_fill, &source, err));
    DNN_TRY(cf_md_memory(&conv->wei_mem, &conv->wei_md, conv->one->engine,
                         (void *)(uintptr_t)conv->wei.data),
            err);
    return CF_OK;
}

static enum cf_status take_bias(struct cf_one_conv *conv, const float *bias,
                                struct cf_error *err)
{
    dnnl_dims_t dim = {conv->geom.oc};

    conv->bias = cf_alloc((size_t)conv->geom.oc, sizeof *bias, err);
    if (!conv->bias)
        return CF_ENOMEM;
    memcpy(conv->bias, bias, (size_t)conv->geom.oc * sizeof *bias);
    DNN_TRY(cf_md_init(&conv->bias_md, 1, dim, dnnl_a), err);
    DNN_TRY(cf_md_memory(&conv->bias_mem, &conv->bias_md, conv->one->engine, conv->bias),
            err);
    return CF_OK;
}

/* Choose layout and implementation for a typical input. */
static enum cf_status choose(struct cf_one_conv *conv, int64_t h, int64_t w, int any_impl,
                             struct cf_error *err)
{
    const struct cf_one_geom *g = &conv->geom;
    struct cf_one_size typical = {h, w, g->top, g->bottom};
    dnnl_dims_t dim = {g->oc, g->ic, g->kh, g->kw};
    struct cf_md any = {0};
    dnnl_primitive_desc_t pd = NULL;
    dnnl_status_t st = cf_md_init(&any, 4, dim, dnnl_format_tag_any);

    if (st == dnnl_success)
        st = describe(conv, &pd, typical, &any, any_impl ? accept_any : accept_jit);
    if (st == dnnl_success) {
        snprintf(conv->name, sizeof conv->name, "%s", cf_impl_name(pd));
        st = cf_md_query(&conv->wei_md, pd, dnnl_query_weights_md);
    }
    dnnl_primitive_desc_destroy(pd);
    cf_md_close(&any);
    return st == dnnl_success ? CF_OK : failed(err, st, "convolution");
}

enum cf_status cf_one_conv_open(struct cf_one_conv **out, struct cf_dnn *dnn,
                                const struct cf_one_geom *geom, const struct cf_view *v,
                                const float *bias, int64_t h, int64_t width, int any,
                                struct cf_error *err)
{
    struct cf_one_conv *conv = cf_calloc(1, sizeof *conv, err);
    enum cf_status st;

    *out = NULL;
    if (!conv)
        return CF_ENOMEM;
    conv->one = dnn->one;
    conv->geom = *geom;
    st = bias ? take_bias(conv, bias, err) : CF_OK;
    if (st == CF_OK)
        st = choose(conv, h, width, any, err);
    if (st == CF_OK)
        st = pack(conv, dnn, v, err);
    if (st != CF_OK) {
        cf_one_conv_close(conv);
        return st;
    }
    *out = conv;
    return CF_OK;
}

static void primitive_close(struct primitive *p)
{
    dnnl_primitive_destroy(p->prim);
    dnnl_memory_destroy(p->src);
    dnnl_memory_destroy(p->dst);
    dnnl_memory_destroy(p->pad);
    memset(p, 0, sizeof *p);
}

void cf_one_conv_close(struct cf_one_conv *conv)
{
    if (!conv)
        return;
    for (int i = 0; i < PRIMITIVES; i++)
        primitive_close(&conv->prim[i]);
    dnnl_memory_destroy(conv->wei_mem);
    dnnl_memory_destroy(conv->bias_mem);
    cf_md_close(&conv->wei_md);
    cf_md_close(&conv->bias_md);
    cf_pack_put(&conv->wei);
    cf_free(conv->bias);
    cf_free(conv);
}

static dnnl_status_t query_memory(dnnl_memory_t *mem, size_t *size,
                                  const_dnnl_primitive_desc_t pd, dnnl_query_t what,
                                  dnnl_engine_t engine)
{
    struct cf_md md = {0};
    dnnl_status_t st = cf_md_query(&md, pd, what);

    if (st == dnnl_success && size)
        *size = cf_md_size(&md);
    if (st == dnnl_success)
        st = cf_md_memory(mem, &md, engine, DNNL_MEMORY_NONE);
    cf_md_close(&md);
    return st;
}

static dnnl_status_t primitive_make(struct cf_one_conv *conv, struct primitive *p,
                                    struct cf_one_size size)
{
    dnnl_engine_t engine = conv->one->engine;
    dnnl_primitive_desc_t pd = NULL;
    dnnl_status_t st = describe(conv, &pd, size, &conv->wei_md, accept_same);

    /* A size that the kernel cannot do: any other that reads the same weights. */
    if (st == dnnl_unimplemented && !is_1x1(&conv->geom))
        st = describe(conv, &pd, size, &conv->wei_md, accept_any);
    if (st == dnnl_success)
        st = create(&p->prim, pd);
    if (st == dnnl_success)
        st = query_memory(&p->src, NULL, pd, dnnl_query_src_md, engine);
    if (st == dnnl_success)
        st = query_memory(&p->dst, NULL, pd, dnnl_query_dst_md, engine);
    if (st == dnnl_success)
        st = query_memory(&p->pad, &p->pad_size, pd, dnnl_query_scratchpad_md, engine);
    dnnl_primitive_desc_destroy(pd);
    return st;
}

static int same_size(const struct cf_one_size *a, const struct cf_one_size *b)
{
    return a->h == b->h && a->w == b->w && a->top == b->top && a->bottom == b->bottom;
}

/* The primitive of this size, made in the place of the one unused for longest. */
static enum cf_status primitive_get(struct cf_one_conv *conv, struct primitive **out,
                                    struct cf_one_size size, struct cf_error *err)
{
    struct primitive *p = &conv->prim[0];
    dnnl_status_t st;

    for (int i = 0; i < PRIMITIVES; i++) {
        if (same_size(&conv->prim[i].size, &size)) {
            *out = &conv->prim[i];
            (*out)->used = ++conv->clock;
            return CF_OK;
        }
        if (conv->prim[i].used < p->used)
            p = &conv->prim[i];
    }
    primitive_close(p);
    st = primitive_make(conv, p, size);
    if (st != dnnl_success) {
        primitive_close(p);
        cf_fail(err, failed(NULL, st, ""),
                "oneDNN: %s %s for [%lld, %lld, %d] (status %d)",
                st == dnnl_out_of_memory ? "no memory to make" : "no", conv->name,
                (long long)size.h, (long long)size.w, conv->geom.ic, (int)st);
        return failed(NULL, st, "");
    }
    p->size = size;
    p->used = ++conv->clock;
    *out = p;
    return CF_OK;
}

static enum cf_status need_scratch(struct cf_one *one, size_t size, struct cf_error *err)
{
    if (size <= one->scratch_size)
        return CF_OK;
    cf_free(one->scratch);
    one->scratch_size = 0;
    one->scratch = cf_alloc(size, 1, err);
    if (!one->scratch)
        return CF_ENOMEM;
    one->scratch_size = size;
    return CF_OK;
}

enum cf_status cf_one_conv_run(struct cf_one_conv *conv, float *dst, const float *src,
                               struct cf_one_size size, struct cf_error *err)
{
    struct cf_one *one = conv->one;
    struct primitive *p = NULL;
    dnnl_exec_arg_t args[5];
    int n = 0;

    CF_TRY(primitive_get(conv, &p, size, err));
    CF_TRY(need_scratch(one, p->pad_size, err));
    DNN_TRY(dnnl_memory_set_data_handle(p->src, (void *)(uintptr_t)src), err);
    DNN_TRY(dnnl_memory_set_data_handle(p->dst, dst), err);
    DNN_TRY(dnnl_memory_set_data_handle(p->pad, one->scratch), err);
    args[n++] = (dnnl_exec_arg_t){DNNL_ARG_SRC, p->src};
    args[n++] = (dnnl_exec_arg_t){DNNL_ARG_WEIGHTS, conv->wei_mem};
    args[n++] = (dnnl_exec_arg_t){DNNL_ARG_DST, p->dst};
    args[n++] = (dnnl_exec_arg_t){DNNL_ARG_SCRATCHPAD, p->pad};
    if (conv->bias)
        args[n++] = (dnnl_exec_arg_t){DNNL_ARG_BIAS, conv->bias_mem};
    DNN_TRY(dnnl_primitive_execute(p->prim, one->stream, n, args), err);
    DNN_TRY(dnnl_stream_wait(one->stream), err);
    return CF_OK;
}
