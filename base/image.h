/* image.h - 8-bit RGB pixels: filled by models, encoded by store. */
#ifndef CF_BASE_IMAGE_H
#define CF_BASE_IMAGE_H

#include <stddef.h>
#include <stdint.h>

struct cf_image {
    uint8_t *rgb;  /* [h, w, 3], rows stride bytes apart; owned by whoever made it */
    int w, h;      /* pixels */
    size_t stride; /* bytes, >= 3 * w */
};

#endif
