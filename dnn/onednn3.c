/* onednn3.c - oneDNN 3.x: descriptors are handles, one call per primitive descriptor. */
#include "dnn/onednn_api.h"

#if DNNL_VERSION_MAJOR >= 3

#include <string.h>

dnnl_status_t cf_md_init(struct cf_md *md, int ndim, const dnnl_dims_t dim,
                         dnnl_format_tag_t tag)
{
    return dnnl_memory_desc_create_with_tag(&md->d, ndim, dim, dnnl_f32, tag);
}

void cf_md_close(struct cf_md *md)
{
    if (md->d)
        dnnl_memory_desc_destroy(md->d);
    md->d = NULL;
}

size_t cf_md_size(const struct cf_md *md)
{
    return dnnl_memory_desc_get_size(md->d);
}

dnnl_status_t cf_md_query(struct cf_md *md, const_dnnl_primitive_desc_t pd,
                          dnnl_query_t what)
{
    const_dnnl_memory_desc_t d = dnnl_primitive_desc_query_md(pd, what, 0);

    if (!d)
        return dnnl_invalid_arguments;
    return dnnl_memory_desc_clone(&md->d, d);
}

dnnl_status_t cf_md_memory(dnnl_memory_t *mem, const struct cf_md *md,
                           dnnl_engine_t engine, void *data)
{
    return dnnl_memory_create(mem, md->d, engine, data);
}

static dnnl_status_t dims_query(dnnl_dims_t out, const struct cf_md *md,
                                dnnl_query_t what, int n)
{
    const dnnl_dims_t *dims;
    dnnl_status_t st = dnnl_memory_desc_query(md->d, what, &dims);

    if (st == dnnl_success)
        memcpy(out, *dims, (size_t)n * sizeof out[0]);
    return st;
}

dnnl_status_t cf_md_blocks(struct cf_md_blocks *b, const struct cf_md *md)
{
    dnnl_format_kind_t kind;
    dnnl_dim_t offset;
    int ndim;
    dnnl_status_t st = dnnl_memory_desc_query(md->d, dnnl_query_format_kind, &kind);

    if (st == dnnl_success)
        st = dnnl_memory_desc_query(md->d, dnnl_query_submemory_offset_s64, &offset);
    if (st == dnnl_success && (kind != dnnl_blocked || offset))
        return dnnl_unimplemented;
    if (st == dnnl_success)
        st = dnnl_memory_desc_query(md->d, dnnl_query_ndims_s32, &ndim);
    if (st == dnnl_success)
        st = dims_query(b->padded, md, dnnl_query_padded_dims, ndim);
    if (st == dnnl_success)
        st = dims_query(b->stride, md, dnnl_query_strides, ndim);
    if (st == dnnl_success)
        st = dnnl_memory_desc_query(md->d, dnnl_query_inner_nblks_s32, &b->n);
    if (st == dnnl_success && b->n > 0)
        st = dims_query(b->size, md, dnnl_query_inner_blks, b->n);
    if (st == dnnl_success && b->n > 0)
        st = dims_query(b->dim, md, dnnl_query_inner_idxs, b->n);
    return st;
}

dnnl_status_t cf_conv_desc(dnnl_primitive_desc_t *pd, dnnl_engine_t engine,
                           const struct cf_conv_args *args,
                           const_dnnl_primitive_attr_t attr,
                           int (*accept)(const char *name, const void *arg),
                           const void *arg)
{
    const dnnl_dims_t dilate = {0};
    dnnl_status_t st;

    st = dnnl_convolution_forward_primitive_desc_create(
        pd, engine, dnnl_forward_inference, dnnl_convolution_direct, args->src->d,
        args->wei->d, args->bias ? args->bias->d : NULL, args->dst->d, args->stride,
        dilate, args->pad_l, args->pad_r, attr);
    if (st != dnnl_success)
        return st;
    for (; st == dnnl_success; st = dnnl_primitive_desc_next_impl(*pd))
        if (accept(cf_impl_name(*pd), arg))
            return dnnl_success;
    dnnl_primitive_desc_destroy(*pd);
    *pd = NULL;
    return st == dnnl_last_impl_reached ? dnnl_unimplemented : st;
}

const char *cf_impl_name(const_dnnl_primitive_desc_t pd)
{
    const char *name = NULL;

    dnnl_primitive_desc_query(pd, dnnl_query_impl_info_str, 0, &name);
    return name ? name : "";
}

#else
typedef int cf_onednn3_is_empty; /* ISO C wants a declaration */
#endif
