/* onednn_api.h - where the interfaces of oneDNN 2.6 and 3.x differ, as seen by onednn.c.
 *
 * onednn2.c and onednn3.c implement this; DNNL_VERSION_MAJOR of the installed header
 * decides which of them is not empty. */
#ifndef CF_DNN_ONEDNN_API_H
#define CF_DNN_ONEDNN_API_H

#include <stddef.h>

#include <oneapi/dnnl/dnnl.h>

/* A descriptor of memory: a struct in 2.x, a handle in 3.x. Zeroed = none. */
struct cf_md {
    dnnl_memory_desc_t d;
};

/* Dense float array of ndim dimensions in the layout of tag (any: to be chosen). */
dnnl_status_t cf_md_init(struct cf_md *md, int ndim, const dnnl_dims_t dim,
                         dnnl_format_tag_t tag);
void cf_md_close(struct cf_md *md);
size_t cf_md_size(const struct cf_md *md);
/* A copy of what a primitive descriptor says. */
dnnl_status_t cf_md_query(struct cf_md *md, const_dnnl_primitive_desc_t pd,
                          dnnl_query_t what);
dnnl_status_t cf_md_memory(dnnl_memory_t *mem, const struct cf_md *md,
                           dnnl_engine_t engine, void *data);

/* Where the elements of an array lie: along dimension d every whole block of indices is
 * stride[d] further; inside, blocks of size[j] indices of dimension dim[j], the last one
 * innermost. */
struct cf_md_blocks {
    dnnl_dims_t padded, stride; /* extents with padding; in elements */
    int n;                      /* inner blocks */
    dnnl_dims_t size, dim;
};

/* dnnl_unimplemented for a layout that is not of this kind. */
dnnl_status_t cf_md_blocks(struct cf_md_blocks *blocks, const struct cf_md *md);

struct cf_conv_args {
    const struct cf_md *src, *wei, *bias, *dst; /* bias may be NULL */
    dnnl_dims_t stride, pad_l, pad_r;
};

/* The first implementation of a forward convolution for which accept(name) is true;
 * dnnl_unimplemented if there is none. */
dnnl_status_t cf_conv_desc(dnnl_primitive_desc_t *pd, dnnl_engine_t engine,
                           const struct cf_conv_args *args,
                           const_dnnl_primitive_attr_t attr,
                           int (*accept)(const char *name, const void *arg),
                           const void *arg);

/* Name of an implementation; lives as long as pd. */
const char *cf_impl_name(const_dnnl_primitive_desc_t pd);

#endif
