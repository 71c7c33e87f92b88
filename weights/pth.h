/* pth.h - one PyTorch zip file (torch.save since 1.6: .pth, .pt, .ckpt, .bin).
 *
 *     NAME/data.pkl       a pickle in which a tensor is (storage, offset, size, stride)
 *     NAME/data/KEY       the bytes of a storage, which several tensors may share
 *     NAME/byteorder      "little"; absent in older files, which are little too
 *
 * The zip is libzip's, the pickle weights/pickle.h's, the names are weights/flatten.h's.
 * Before the first tensor is read every one of them was checked against the size of its
 * storage's entry, and those against the size of the file. Entries are looked up by name
 * and never become paths.
 *
 * PyTorch caffe2/serialize/inline_container.h; torch/serialization.py, "_save". */
#ifndef CF_WEIGHTS_PTH_H
#define CF_WEIGHTS_PTH_H

#include <stddef.h>

#include "base/error.h"
#include "base/tensor.h"

struct cf_pth;

/* CF_ENOENT, CF_EPERM, CF_EIO, CF_ENOMEM; CF_EFORMAT for a damaged file; CF_EUNSUP for a
 * file of torch before 1.6, a TorchScript archive, a plain pickle, big-endian data or a
 * global that is no tensor: the message says which, and how to save it anew. */
enum cf_status cf_pth_open(struct cf_pth **pth, const char *path, struct cf_error *err);
void cf_pth_close(struct cf_pth *pth); /* NULL is fine */

const char *cf_pth_path(const struct cf_pth *pth);

/* Tensors in the byte order of their names; borrowed. */
int cf_pth_count(const struct cf_pth *pth);
const char *cf_pth_name(const struct cf_pth *pth, int i);
const struct cf_view *cf_pth_shape(const struct cf_pth *pth, int i); /* data is NULL */

/* All of tensor i into dst, dense and row-major. CF_EIO; CF_EFORMAT where the entry is
 * damaged (its checksum is compared when all of it is read); CF_ENOMEM: a tensor that is
 * not dense in its storage needs the stretch that it spans once more. */
enum cf_status cf_pth_read(struct cf_pth *pth, int i, void *dst, struct cf_error *err);

#endif
