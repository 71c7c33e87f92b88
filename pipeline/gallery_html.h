/* gallery_html.h - pieces of a page: text that stays text, links, head and style.
 *
 * What comes out is well-formed XML and HTML at once. A FILE that fails is found out when
 * it is closed. */
#ifndef CF_PIPELINE_GALLERY_HTML_H
#define CF_PIPELINE_GALLERY_HTML_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/error.h"

/* Text for an element or an attribute in double quotes: specials as entities, what XML
 * cannot hold and ill-formed bytes as U+FFFD; an ellipsis where it was cut at max
 * characters.
 */
void cf_html_text(FILE *to, const char *text, size_t len, size_t max);

/* The same inside <bdi>, so that its direction changes nothing around it. (In both an
 * end of an isolate that the text did not begin is U+FFFD: browsers put these characters
 * in for <bdi>, and it would end that.) */
void cf_html_isolated(FILE *to, const char *text, size_t len, size_t max);

/* A relative file name as the value of href or src. */
void cf_html_url(FILE *to, const char *path);

/* "3.6 KB" */
void cf_html_bytes(FILE *to, int64_t bytes);

/* "12,345" */
void cf_html_count(FILE *to, int64_t n);

/* From <!DOCTYPE to <body>, with the style for thumbnails of thumb pixels. */
void cf_html_head(FILE *to, const char *title, int thumb);

/* The way from directory `from` to file root/path, both existing: "../images/ab/...".
 * Fresh. */
char *cf_html_way(const char *from, const char *root, struct cf_error *err);

#endif
