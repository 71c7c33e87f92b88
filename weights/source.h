/* source.h - tensors of any file that people download, by name.
 *
 * A path is what weights/checkpoint.h reads (safetensors, index, directory), or a PyTorch
 * zip file (.pth, .pt, .ckpt, .bin; weights/pth.h), or a *.bin.index.json of such shards,
 * or a directory that holds one of these. What it is, its first bytes say, not its name.
 * Nested dictionaries become names joined by dots: trainer.gpt_fsdp.word_embed.weight.
 *
 * Of a directory the first of these is taken that is there: model.safetensors,
 * model.safetensors.index.json, pytorch_model.bin, pytorch_model.bin.index.json; else the
 * only *.index.json, else the only *.safetensors, else the only .pth, .pt, .ckpt or .bin.
 *
 * Nothing is read but what is asked for; a tensor comes dense, row-major, in the type of
 * the file, wherever its strides were. */
#ifndef CF_WEIGHTS_SOURCE_H
#define CF_WEIGHTS_SOURCE_H

#include "base/error.h"
#include "base/tensor.h"

struct cf_source;

/* Errors of cf_ckpt_open and cf_pth_open; CF_EFORMAT for a file that is neither, or a
 * directory with several of which none is the one (the message names them), CF_ENOENT for
 * one with none. */
enum cf_status cf_source_open(struct cf_source **src, const char *path,
                              struct cf_error *err);
void cf_source_close(struct cf_source *src); /* NULL is fine */

/* The file that was taken: the path given, or what it holds. */
const char *cf_source_path(const struct cf_source *src);
/* "safetensors" or "pytorch". */
const char *cf_source_format(const struct cf_source *src);

/* From now on only tensors whose full names begin with prefix + "." are there, under the
 * rest of their names; "" for all. CF_ENOENT where none is, and nothing changes. */
enum cf_status cf_source_enter(struct cf_source *src, const char *prefix,
                               struct cf_error *err);

/* Tensors in the byte order of their names; borrowed until the next enter. */
int cf_source_count(const struct cf_source *src);
const char *cf_source_name(const struct cf_source *src, int i);
/* Type and shape; data is NULL. */
const struct cf_view *cf_source_shape(const struct cf_source *src, int i);
/* -1 when there is no such tensor. */
int cf_source_index(const struct cf_source *src, const char *name);
/* Bytes of tensor i, dense. */
size_t cf_source_bytes(const struct cf_source *src, int i);

/* All of tensor i into dst, cf_source_bytes of it. CF_EIO, CF_EFORMAT, CF_ENOMEM. */
enum cf_status cf_source_read(struct cf_source *src, int i, void *dst,
                              struct cf_error *err);

#endif
