/* error.h - one way to fail: a status that travels up, a message that says what was
 * wrong.
 *
 * Every function that can fail returns enum cf_status (0 is ok) and fills the caller's
 * struct cf_error, zeroed by the caller before the first call. The first failure wins:
 * later ones during clean-up do not overwrite it. A message names the thing, what was
 * found and what was expected. Libraries never print, exit or abort. */
#ifndef CF_BASE_ERROR_H
#define CF_BASE_ERROR_H

#include <stdbool.h>

enum cf_status {
    CF_OK = 0,
    CF_EUSAGE = -1,    /* an option or argument makes no sense */
    CF_EFORMAT = -2,   /* a file, row or text is damaged or of another kind */
    CF_ESHAPE = -3,    /* a tensor has another shape or type than the geometry says */
    CF_ERANGE = -4,    /* a number lies outside its stated range */
    CF_EUNSUP = -5,    /* well-formed, but not something this program can do */
    CF_ENOENT = -6,    /* a file, row or tensor is missing */
    CF_EMISMATCH = -7, /* parts that do not belong together (hash, geometry) */
    CF_ENOMEM = -8,
    CF_EIO = -9,     /* read or write failed */
    CF_ENOSPC = -10, /* disk full or quota reached */
    CF_ECREAT = -11, /* an output cannot be created */
    CF_EPERM = -12,
    CF_EBUSY = -13,    /* somebody else holds it past the timeout */
    CF_ECANCEL = -14,  /* asked to stop */
    CF_ELOST = -15,    /* the lease of a job went to another worker */
    CF_ENUMERIC = -16, /* NaN or infinity where a finite number was due */
    CF_ECONFIG = -17,  /* the set-up contradicts itself or is unsafe */
    CF_ECPU = -18,     /* the processor lacks what was asked for */
    CF_EBUG = -19,     /* a fact that only our own code could break */
};

enum { CF_ERROR_MAX = 480 };

struct cf_error {
    enum cf_status status; /* CF_OK until the first failure */
    char msg[CF_ERROR_MAX];
};

/* Record a failure, unless err already holds one, and return the status that err holds.
 * err may be NULL: then only the status is returned. Control bytes in the formatted text
 * (a hostile file name, say) are replaced by '?'. */
enum cf_status cf_fail(struct cf_error *err, enum cf_status status, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* As cf_fail, but the status is taken from errno (ENOSPC and EDQUOT, ENOMEM, ENOENT,
 * EACCES and EPERM and EROFS; all others become CF_EIO) and its text is appended. */
enum cf_status cf_fail_errno(struct cf_error *err, int errnum, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Put "context: " in front of the message on the way up; returns err->status. */
enum cf_status cf_wrap(struct cf_error *err, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* A short stable name, "ENOSPC" and so on, as stored in job rows. */
const char *cf_status_name(enum cf_status status);

/* True where the same work may succeed later (memory, I/O, busy, cancelled); false where
 * this row or this file is wrong. The queue acts on that alone. */
bool cf_status_retryable(enum cf_status status);

/* True where the surroundings failed and not the job: nothing is charged to the job. */
bool cf_status_environment(enum cf_status status);

/* The exit status of a program that stops with this status (sysexits.h numbers). */
int cf_status_exit(enum cf_status status);

/* Leave the calling function at once with a failed call's status. Only for functions that
 * own nothing that needs an out: label. */
#define CF_TRY(call)                                                                     \
    do {                                                                                 \
        enum cf_status cf_try_status = (call);                                           \
        if (cf_try_status != CF_OK)                                                      \
            return cf_try_status;                                                        \
    } while (0)

#endif
