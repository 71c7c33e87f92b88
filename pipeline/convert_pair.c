#include "pipeline/convert_pair.h"

#include <ctype.h>
#include <string.h>

#include "base/file.h"

/* True where the name has word, in any case, that is no part of a longer word or number:
 * "8b" in infinity_8b_512, not in 18b; "reg" in d32reg and d32_reg, not in region. */
static bool says(const char *path, const char *word)
{
    size_t len, w = strlen(word);
    const char *name = cf_file_last_name(path, &len);

    for (size_t i = 0; i + w <= len; i++) {
        int before = i ? (unsigned char)name[i - 1] : '_';
        int after = i + w < len ? (unsigned char)name[i + w] : '_';
        bool digit = isdigit((unsigned char)word[0]),
             last = isdigit((unsigned char)word[w - 1]);

        if (strncasecmp(name + i, word, w) != 0)
            continue;
        if ((digit ? isdigit(before) || before == '.' : isalpha(before)) ||
            (last ? isdigit(after) : isalpha(after)))
            continue;
        return true;
    }
    return false;
}

static enum cf_status contradict(const char *transformer, const char *vae,
                                 const char *why, struct cf_error *err)
{
    size_t t, v;
    const char *tname = cf_file_last_name(transformer, &t),
               *vname = cf_file_last_name(vae, &v);

    return cf_fail(err, CF_EMISMATCH,
                   "%.*s with %.*s: %s; --accept-pairing if the names are wrong",
                   (int)(t < 80 ? t : 80), tname, (int)(v < 80 ? v : 80), vname, why);
}

enum cf_status cf_pair_names(const char *transformer, const char *vae,
                             const char *geometry, struct cf_error *err)
{
    static const char *const other[] = {"d16", "d24", "d32", "d64"};
    bool reg = says(vae, "reg"), for_8b = says(vae, "d56") || says(vae, "8b");
    bool is_2b = geometry && strcmp(geometry, "infinity-2b") == 0;

    if (says(transformer, "reg") && !reg)
        return contradict(transformer, vae,
                          "the transformer was trained with the tokenizer d32_reg, which "
                          "has the shapes of d32 and other weights",
                          err);
    if (reg && (says(transformer, "8b") || says(transformer, "125m")))
        return contradict(transformer, vae,
                          "d32_reg is the tokenizer of the 2B transformer", err);
    if (is_2b && says(vae, "d32") && !reg)
        return contradict(
            transformer, vae,
            "the released 2B was trained with d32_reg, which has the shapes "
            "of d32 and other weights",
            err);
    for (size_t i = 0; i < sizeof other / sizeof other[0]; i++)
        if (says(transformer, "8b") && says(vae, other[i]))
            return contradict(transformer, vae,
                              "the 8B transformers were trained with the tokenizer "
                              "d56_f8_14_patchify",
                              err);
    if (for_8b && (says(transformer, "2b") || says(transformer, "125m")))
        return contradict(transformer, vae,
                          "this is the tokenizer of the 8B transformers", err);
    return CF_OK;
}
