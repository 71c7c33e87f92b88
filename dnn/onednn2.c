/* onednn2.c - oneDNN 2.6: descriptors are structs, operations are described first. */
#include "dnn/onednn_api.h"

#if DNNL_VERSION_MAJOR == 2

#include <string.h>

dnnl_status_t cf_md_init(struct cf_md *md, int ndim, const dnnl_dims_t dim,
                         dnnl_format_tag_t tag)
{
    return dnnl_memory_desc_init_by_tag(&md->d, ndim, dim, dnnl_f32, tag);
}

void cf_md_close(struct cf_md *md)
{
    (void)md;
}

size_t cf_md_size(const struct cf_md *md)
{
    return dnnl_memory_desc_get_size(&md->d);
}

dnnl_status_t cf_md_query(struct cf_md *md, const_dnnl_primitive_desc_t pd,
                          dnnl_query_t what)
{
    const dnnl_memory_desc_t *d = dnnl_primitive_desc_query_md(pd, what, 0);

    if (!d)
        return dnnl_invalid_arguments;
    md->d = *d;
    return dnnl_success;
}

dnnl_status_t cf_md_memory(dnnl_memory_t *mem, const struct cf_md *md,
                           dnnl_engine_t engine, void *data)
{
    return dnnl_memory_create(mem, &md->d, engine, data);
}

dnnl_status_t cf_md_blocks(struct cf_md_blocks *b, const struct cf_md *md)
{
    const dnnl_blocking_desc_t *in = &md->d.format_desc.blocking;

    if (md->d.format_kind != dnnl_blocked || md->d.offset0 || md->d.extra.flags)
        return dnnl_unimplemented;
    memcpy(b->padded, md->d.padded_dims, sizeof b->padded);
    memcpy(b->stride, in->strides, sizeof b->stride);
    b->n = in->inner_nblks;
    memcpy(b->size, in->inner_blks, sizeof b->size);
    memcpy(b->dim, in->inner_idxs, sizeof b->dim);
    return dnnl_success;
}

dnnl_status_t cf_conv_desc(dnnl_primitive_desc_t *pd, dnnl_engine_t engine,
                           const struct cf_conv_args *args,
                           const_dnnl_primitive_attr_t attr,
                           int (*accept)(const char *name, const void *arg),
                           const void *arg)
{
    dnnl_convolution_desc_t op;
    dnnl_primitive_desc_iterator_t it;
    dnnl_status_t st;

    st = dnnl_convolution_forward_desc_init(
        &op, dnnl_forward_inference, dnnl_convolution_direct, &args->src->d,
        &args->wei->d, args->bias ? &args->bias->d : NULL, &args->dst->d, args->stride,
        args->pad_l, args->pad_r);
    if (st == dnnl_success)
        st = dnnl_primitive_desc_iterator_create(&it, &op, attr, engine, NULL);
    if (st != dnnl_success)
        return st;
    for (; st == dnnl_success; st = dnnl_primitive_desc_iterator_next(it)) {
        *pd = dnnl_primitive_desc_iterator_fetch(it);
        if (*pd && accept(cf_impl_name(*pd), arg))
            break;
        dnnl_primitive_desc_destroy(*pd);
        *pd = NULL;
    }
    dnnl_primitive_desc_iterator_destroy(it);
    return st == dnnl_iterator_ends ? dnnl_unimplemented : st;
}

const char *cf_impl_name(const_dnnl_primitive_desc_t pd)
{
    const char *name = NULL;

    dnnl_primitive_desc_query(pd, dnnl_query_impl_info_str, 0, &name);
    return name ? name : "";
}

#else
typedef int cf_onednn2_is_empty; /* ISO C wants a declaration */
#endif
