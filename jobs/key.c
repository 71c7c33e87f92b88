#include "jobs/key.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static enum cf_status part(struct cf_digest *d, const char *text, size_t len,
                           struct cf_error *err)
{
    char head[32];
    int n = snprintf(head, sizeof head, "%zu:", len);

    CF_TRY(cf_digest_add(d, head, (size_t)n, err));
    CF_TRY(cf_digest_add(d, text, len, err));
    return cf_digest_add(d, "\n", 1, err);
}

static enum cf_status parts(struct cf_digest *d, const struct cf_job_spec *s,
                            struct cf_error *err)
{
    static const char head[] = "cfgen-job-1\n";
    char tail[64];
    int n;

    CF_TRY(cf_digest_add(d, head, strlen(head), err));
    CF_TRY(part(d, s->prompt, s->prompt_len, err));
    if (s->negative)
        CF_TRY(part(d, s->negative, s->negative_len, err));
    else
        CF_TRY(cf_digest_add(d, "-\n", 2, err));
    CF_TRY(part(d, s->recipe, strlen(s->recipe), err));
    n = snprintf(tail, sizeof tail, "%" PRIu64 "\n%dx%d\n", s->seed, s->width, s->height);
    return cf_digest_add(d, tail, (size_t)n, err);
}

enum cf_status cf_job_key(const struct cf_job_spec *spec, char key[CF_DIGEST_HEX],
                          struct cf_error *err)
{
    struct cf_digest *d = cf_digest_open(err);
    enum cf_status st, closed;

    if (!d)
        return CF_ENOMEM;
    st = parts(d, spec, err);
    closed = cf_digest_close(d, key, st == CF_OK ? err : NULL);
    return st == CF_OK ? closed : st;
}
