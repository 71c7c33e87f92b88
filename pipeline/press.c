#include "pipeline/press.h"

#include <pthread.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/fault.h"

struct cf_press {
    struct cf_shift *shift;
    pthread_t thread;
    bool proved; /* cf_finish_encode */
};

static enum cf_status encode(struct cf_press *p, struct cf_piece *piece)
{
    struct cf_shift *s = p->shift;
    struct cf_error *err = &piece->why;

    cf_fault_point("webp", piece->job.id);
    CF_TRY(cf_finish_encode(&piece->image, &piece->webp, &piece->story, s->o->meta,
                            &s->stop.cancel, &p->proved, &piece->blob, err));
    CF_TRY(cf_digest_mem(piece->blob.data, piece->blob.size, piece->file_sha256, err));
    if (s->in_tars)
        piece->json = cf_finish_json(&piece->story, err);
    return err->status;
}

static void *run(void *arg)
{
    struct cf_press *p = arg;
    struct cf_piece *piece;
    bool end;

    while ((piece = cf_belt_take(p->shift->images, -1, &end))) {
        double t0 = 1e3 * cf_clock();

        encode(p, piece);
        piece->webp_ms = 1e3 * cf_clock() - t0;
        cf_free(piece->image.rgb);
        piece->image.rgb = NULL;
        cf_belt_put(p->shift->files, piece); /* ends after us */
    }
    return NULL;
}

enum cf_status cf_press_start(struct cf_press **press, struct cf_shift *shift,
                              struct cf_error *err)
{
    struct cf_press *p = cf_calloc(1, sizeof *p, err);
    int e;

    if (!p)
        return CF_ENOMEM;
    p->shift = shift;
    e = pthread_create(&p->thread, NULL, run, p);
    if (e) {
        cf_free(p);
        return cf_fail(err, CF_ENOMEM, "WebP thread: %s", strerror(e));
    }
    *press = p;
    return CF_OK;
}

void cf_press_join(struct cf_press *p)
{
    if (!p)
        return;
    pthread_join(p->thread, NULL);
    cf_belt_end(p->shift->files);
    cf_free(p);
}
