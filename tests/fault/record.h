/* record.h - one change of the disk, as record.c writes it and replay.c reads it: this
 * struct, then name, name2 and, for a write, size bytes. */
#ifndef CF_TESTS_FAULT_RECORD_H
#define CF_TESTS_FAULT_RECORD_H

#include <stdbool.h>
#include <stdint.h>

enum record_op {
    RECORD_CREATE,   /* name in dir is the new, empty file ino */
    RECORD_MKDIR,    /* name in dir is the new directory ino */
    RECORD_RENAME,   /* name in dir becomes name2 in dir2 */
    RECORD_UNLINK,   /* name in dir goes */
    RECORD_WRITE,    /* size bytes of ino from at on */
    RECORD_TRUNCATE, /* ino has size bytes */
    RECORD_SYNC, /* what ino holds is on disk: bytes of a file, names of a directory */
};

struct record {
    uint64_t ino, dir, dir2, at, size;
    uint32_t op, name, name2, unused;
};

#endif
