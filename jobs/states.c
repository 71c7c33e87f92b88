#include "jobs/states.h"

#include <string.h>

#include "jobs/queue.h"

static const char *const state_name[CF_NJOBSTATE] = {
    "ready", "running", "done", "failed", "delayed", "cancelled", "held",
};

const char *cf_state_name(int state)
{
    return state >= 0 && state < CF_NJOBSTATE ? state_name[state] : "unknown";
}

int cf_state_of(const char *name)
{
    for (int i = 0; i < CF_NJOBSTATE; i++)
        if (strcmp(name, state_name[i]) == 0)
            return i;
    return -1;
}
