#include "jobs/manifest.h"

#include "base/alloc.h"
#include "base/json.h"
#include "jobs/detail.h"

enum cf_status cf_manifest_open(json_t **line, struct cf_queue *q,
                                const struct cf_job *job, const struct cf_output *out,
                                struct cf_error *err)
{
    struct cf_details it = {0};
    struct cf_detail d;
    enum cf_status st;
    bool row = false;

    *line = NULL;
    st = cf_details_one(&it, q, job->id, err);
    if (st == CF_OK)
        st = cf_details_next(&it, &d, &row, err);
    if (st == CF_OK && !row)
        st = cf_fail(err, CF_ELOST, "job %lld is not in the queue any more",
                     (long long)job->id);
    if (st == CF_OK) {
        d.path = "";
        d.file_sha256 = out->file_sha256;
        d.pixel_sha256 = out->pixel_sha256;
        d.bytes = out->bytes;
        d.out_width = out->width;
        d.out_height = out->height;
        *line = cf_detail_json(&d, CF_DETAIL_MANIFEST, err);
        st = *line ? CF_OK : CF_ENOMEM;
    }
    cf_details_close(&it);
    return st;
}

char *cf_manifest_close(json_t *line, const char *path, int64_t offset,
                        struct cf_error *err)
{
    char *text = NULL;

    if ((json_object_set_new(line, "path", json_string(path)) |
         json_object_set_new(line, "offset", json_integer(offset))) == 0)
        text = cf_json_text(line, CF_DETAIL_FLAGS, err);
    else
        cf_fail(err, CF_ENOMEM, "no memory for a line of the manifest");
    json_decref(line);
    return text;
}
