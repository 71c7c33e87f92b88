/* source_pick.h - which file of a downloaded folder holds its weights (weights/source.h
 * says in which order). */
#ifndef CF_WEIGHTS_SOURCE_PICK_H
#define CF_WEIGHTS_SOURCE_PICK_H

#include "base/error.h"

/* The file for path: path itself unless it is a directory; cf_free. NULL with CF_ENOENT
 * where nothing in it is a file of weights, CF_EFORMAT where several are and none is the
 * one, CF_EPERM, CF_EIO, CF_ENOMEM. */
char *cf_source_pick(const char *path, struct cf_error *err);

#endif
