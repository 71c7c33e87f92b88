#include "dnn/pass.h"

#include <string.h>

void cf_pass_row(const struct cf_kern *kern, const struct cf_conv_pass *p, int in,
                 float *dst, int y, int x, int count, size_t c, size_t n)
{
    size_t bytes = n * sizeof *dst;
    const float *line;

    if (y < 0 || y >= p->h << p->twice) {
        memset(dst, 0, (size_t)count * bytes);
        return;
    }
    line = p->src + (size_t)(y >> p->twice) * (size_t)p->w * (size_t)in + c;
    for (int i = x; i < x + count; i++, dst += n) {
        const float *px = line + (ptrdiff_t)(i >> p->twice) * in;

        if (i < 0 || i >= p->w << p->twice)
            memset(dst, 0, bytes);
        else if (p->mul)
            kern->affine(dst, px, p->mul + c, p->add + c, 1, n);
        else
            memcpy(dst, px, bytes);
    }
}
