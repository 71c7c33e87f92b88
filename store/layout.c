#include "store/layout.h"

#include <stddef.h>

#include "base/alloc.h"
#include "base/parse.h"

static const char *const names[] = {"auto", "files", "tar", NULL};

enum cf_status cf_layout_parse(const char *s, enum cf_layout *layout, const char *what,
                               struct cf_error *err)
{
    int n;

    CF_TRY(cf_parse_word(s, names, &n, what, err));
    *layout = (enum cf_layout)n;
    return CF_OK;
}

const char *cf_layout_name(enum cf_layout layout)
{
    return names[layout];
}

enum cf_layout cf_layout_choose(enum cf_layout layout, int64_t jobs)
{
    if (layout != CF_LAYOUT_AUTO)
        return layout;
    return jobs > CF_LAYOUT_MANY ? CF_LAYOUT_TAR : CF_LAYOUT_FILES;
}

char *cf_layout_root(const char *dir, const char *output, struct cf_error *err)
{
    return output ? cf_strdup(output, err) : cf_format(err, "%s/images", dir);
}
