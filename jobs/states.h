/* states.h - what people call the states of a job. */
#ifndef CF_JOBS_STATES_H
#define CF_JOBS_STATES_H

/* "ready", "running", ...; "unknown" for no state. */
const char *cf_state_name(int state);
/* -1 for another name. */
int cf_state_of(const char *name);

#endif
