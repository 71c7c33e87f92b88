#include "jobs/shard.h"
#define WEAK __attribute__((weak))
WEAK enum cf_status cf_plan_read(const char *p, struct cf_plan_info *i, struct cf_error *e)
{ (void)i; return cf_fail(e, CF_ECONFIG, "%s: no plan", p); }
WEAK enum cf_status cf_shard_open(struct cf_shard *s, const char *p, int n, const char *r, struct cf_error *e)
{ (void)s; (void)n; (void)r; return cf_fail(e, CF_ECONFIG, "%s: no plan", p); }
WEAK void cf_shard_close(struct cf_shard *s) { (void)s; }
WEAK enum cf_status cf_shard_rank(int *i, const char **f, struct cf_error *e)
{ (void)i; (void)f; return cf_fail(e, CF_ECONFIG, "no rank"); }
