/* fuzz_recipe.c - any bytes as a recipe; what is taken is its own canonical form. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "jobs/recipe.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct cf_error err = {0};
    char *canon = NULL, *again = NULL;

    if (cf_recipe_canon((const char *)bytes, n, "fuzz", &canon, &err) != CF_OK)
        return 0;
    if (cf_recipe_canon(canon, strlen(canon), "fuzz", &again, &err) != CF_OK ||
        strcmp(canon, again) != 0)
        abort();
    cf_free(canon);
    cf_free(again);
    return 0;
}
