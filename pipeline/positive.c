#include "pipeline/positive.h"

#include <string.h>

#include "base/alloc.h"

static const char *const people[] = {
    "man",         "woman",       "men",    "women",    "boy",      "girl",
    "child",       "person",      "human",  "adult",    "teenager", "employee",
    "employer",    "worker",      "mother", "father",   "sister",   "brother",
    "grandmother", "grandfather", "son",    "daughter",
};
static const char sentence[] =
    ". very smooth faces, good looking faces, face to the camera, perfect facial "
    "features";

enum cf_status cf_positive(char **out, const char *prompt, size_t len,
                           struct cf_error *err)
{
    size_t i = 0, n = sizeof people / sizeof people[0];

    *out = NULL;
    while (i < n && !memmem(prompt, len, people[i], strlen(people[i])))
        i++;
    if (i == n)
        return CF_OK;
    *out = cf_alloc(len + sizeof sentence, 1, err);
    if (!*out)
        return CF_ENOMEM;
    memcpy(*out, prompt, len);
    memcpy(*out + len, sentence, sizeof sentence);
    return CF_OK;
}
