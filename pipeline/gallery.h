/* gallery.h - a queue as static pages: what was made, from what, and what failed.
 *
 * DIR/index.html shows jobs spread evenly over the queue, DIR/batch-ID.html those of one
 * batch, DIR/failed.html what failed, why and how it is tried again; further pages of
 * each are NAME-2.html and so on. DIR/thumbs holds the pictures, DIR/contact.webp the
 * first view of all in one image. No scripts; well-formed as XML and as HTML. The same
 * queue and images give the same bytes.
 *
 * Texts of jobs are hostile: they are escaped, isolated in their direction, and no file
 * is named after one. */
#ifndef CF_PIPELINE_GALLERY_H
#define CF_PIPELINE_GALLERY_H

#include <stdbool.h>

#include "jobs/queue.h"

enum { CF_GALLERY_SAMPLE = 1000, CF_GALLERY_PAGE = 60, CF_GALLERY_THUMB = 192 };

struct cf_gallery {
    struct cf_queue *q;
    const char *db;               /* the queue's name, for the commands that are shown */
    const char *root;             /* of the images */
    const char *dir;              /* where the pages go; made when missing */
    const char *batch;            /* only this one; NULL: all */
    bool failed;                  /* only what failed */
    bool unsafe;                  /* commands need --unsafe-shared-db */
    int sample;                   /* jobs of a view at most, 1..CF_SAMPLE_MAX */
    int per_page;                 /* 1..10000 */
    int thumb;                    /* pixels of the longer side, 16..1024 */
    int64_t pages;                /* out */
    int64_t pictures, unreadable; /* out, of the first view */
};

/* CF_ECREAT where dir holds an index.html that is no gallery's. */
enum cf_status cf_gallery_make(struct cf_gallery *g, struct cf_error *err);

#endif
