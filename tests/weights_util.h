/* weights_util.h - hostile files for the tests of weights/. Faults of the test itself (a
 * full disk, say) fail the running cmocka case. */
#ifndef CF_TESTS_WEIGHTS_UTIL_H
#define CF_TESTS_WEIGHTS_UTIL_H

#include <stddef.h>

#include "base/tensor.h"

/* 8-byte length, header, data bytes 0, 1, 2 ...: exactly that many bytes on the heap, so
 * that a read past the end is seen by the address sanitizer. free() it. */
unsigned char *util_blob(const char *header, size_t header_len, size_t data, size_t *n);

/* A fresh directory without symbolic links in its path, removed with all in it by
 * util_rmdir. */
char *util_mkdir(void);
void util_rmdir(char *dir);

/* dir/name, in a buffer that the next call but three overwrites. */
const char *util_path(const char *dir, const char *name);

void util_write(const char *path, const void *bytes, size_t n);
void util_write_text(const char *path, const char *text);
/* A safetensors file of that header with data bytes behind it. */
void util_write_st(const char *path, const char *header, size_t data);
unsigned char *util_read(const char *path, size_t *n);

/* A path in the source tree. */
const char *util_src(const char *name);

/* Reads every byte that the view claims; returns their sum. */
unsigned util_touch(const struct cf_view *v);

#endif
