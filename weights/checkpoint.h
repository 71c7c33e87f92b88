/* checkpoint.h - named tensors of one safetensors file or of a sharded directory.
 *
 * A path is a .safetensors file, a *.json index of shards, or a directory that holds
 * model.safetensors or model.safetensors.index.json. Files are mapped read-only and
 * shared by all processes of a node; nothing is copied. Everything in the headers is
 * checked before the first view exists: afterwards math may trust a view.
 *
 * Format: the safetensors README (8-byte little-endian header length, JSON, data). */
#ifndef CF_WEIGHTS_CHECKPOINT_H
#define CF_WEIGHTS_CHECKPOINT_H

#include <stddef.h>

#include "base/error.h"
#include "base/tensor.h"

struct cf_ckpt;

/* CF_ENOENT, CF_EPERM, CF_EIO, CF_ENOMEM; CF_EFORMAT naming file, tensor and byte;
 * CF_EUNSUP for a dtype, rank or size that is not read here (weights/safetensors.h).
 * Index and shards must hold the same tensors, each once, and a shard lies beside its
 * index. A directory with both forms is read as the single file. */
enum cf_status cf_ckpt_open(struct cf_ckpt **ckpt, const char *path,
                            struct cf_error *err);
void cf_ckpt_close(struct cf_ckpt *ckpt); /* NULL is fine */

int cf_ckpt_count(const struct cf_ckpt *ckpt);
/* Name of tensor i in sorted order; borrowed. */
const char *cf_ckpt_name(const struct cf_ckpt *ckpt, int i);
/* Tensor i in the same order; borrowed. */
const struct cf_view *cf_ckpt_view(const struct cf_ckpt *ckpt, int i);
/* Place of a name in that order, -1 when there is no such tensor. */
int cf_ckpt_index(const struct cf_ckpt *ckpt, const char *name);

/* NULL when there is no such tensor; borrowed, lives as long as the checkpoint. */
const struct cf_view *cf_ckpt_find(const struct cf_ckpt *ckpt, const char *name);

/* Bytes of tensor data in all shards. */
size_t cf_ckpt_bytes(const struct cf_ckpt *ckpt);

/* The tensors leave this process's memory until they are read again; views stay good. */
void cf_ckpt_rest(const struct cf_ckpt *ckpt);

const char *cf_ckpt_path(const struct cf_ckpt *ckpt);

#endif
