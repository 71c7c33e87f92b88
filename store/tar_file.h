/* tar_file.h - the two files behind a tar, for store/tar.c and store/tar_open.c alone. */
#ifndef CF_STORE_TAR_FILE_H
#define CF_STORE_TAR_FILE_H

#include "store/tar.h"

struct cf_tar {
    int dirfd, fd, manifest; /* -1: not open */
    char *root;              /* for messages */
    int number;
    struct cf_tar_size size;   /* whole samples */
    struct cf_tar_size synced; /* of these: surely on disk */
    int64_t pending;           /* bytes of a sample that waits for its line */
    bool finished;
    struct cf_error broken; /* why it was given up */
};

/* The file's name in front of the message; returns st. */
enum cf_status cf_tar_wrap(const struct cf_tar *tar, enum cf_status st,
                           struct cf_error *err);

/* CF_OK unless it was given up (that error again) or is finished (CF_EBUG). */
enum cf_status cf_tar_usable(const struct cf_tar *tar, struct cf_error *err);
void cf_tar_give_up(struct cf_tar *tar, const struct cf_error *why);

/* CF_ERANGE for a size that no tar can have. */
enum cf_status cf_tar_size_check(const struct cf_tar_size *s, struct cf_error *err);
bool cf_tar_is_synced(const struct cf_tar *tar);

enum cf_status cf_tar_write(int fd, const void *data, size_t size, int64_t offset,
                            const char *what, struct cf_error *err);

/* Both files to this size; where that fails the tar is given up. */
enum cf_status cf_tar_cut_back(struct cf_tar *tar, const struct cf_tar_size *size,
                               struct cf_error *err);

/* A failure gives the tar up. */
enum cf_status cf_tar_fdatasync(struct cf_tar *tar, int fd, const char *what,
                                struct cf_error *err);

#endif
