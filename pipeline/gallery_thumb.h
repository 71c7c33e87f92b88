/* gallery_thumb.h - small pictures of large ones. */
#ifndef CF_PIPELINE_GALLERY_THUMB_H
#define CF_PIPELINE_GALLERY_THUMB_H

#include "jobs/detail.h"
#include "store/webp.h"

enum { CF_THUMB_NAME = 64, CF_CONTACT_MAX = 64 };

/* "0123...-192.webp": named after what the row says of the file, so that one that is
 * there need not be made again. */
void cf_thumb_name(char name[CF_THUMB_NAME], const struct cf_detail *d, int side);

/* The job's image with no side above `side`, as DIR/NAME. Fails where it cannot be read
 * (as cf_image_read and cf_webp_decode say) or written. */
enum cf_status cf_thumb_make(const char *dir, const char *name, const char *root,
                             const struct cf_detail *d, int side, struct cf_error *err);

/* Up to CF_CONTACT_MAX images on one sheet, row by row. */
struct cf_contact {
    struct cf_image sheet; /* owned */
    int side, columns, n;
};
enum cf_status cf_contact_open(struct cf_contact *c, int n, int side,
                               struct cf_error *err);
/* The next place; one that cannot be read stays empty. */
void cf_contact_add(struct cf_contact *c, const char *root, const struct cf_detail *d);
enum cf_status cf_contact_write(struct cf_contact *c, const char *path,
                                struct cf_error *err);
void cf_contact_close(struct cf_contact *c);

#endif
