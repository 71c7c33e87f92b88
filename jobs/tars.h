/* tars.h - which tars a queue has, who appends to them, how much of each counts.
 *
 * One worker appends to one tar. The row says how many bytes of the tar and of its
 * manifest belong to finished jobs; the rest of the file, if any, was being written when
 * somebody died and is cut off by the next one who takes it. The mark moves in the
 * transaction that ends the jobs (cf_queue_finish_many).
 *
 * Numbers are unique in a queue. Of those that a queue had not used when a plan of N
 * shards was made (B and above), the result file of shard I takes B + I * w .. B + (I +
 * 1) * w - 1, w = floor((CF_TAR_NUMBERS - B) / N), so that the tars of all shards can lie
 * in one directory and be read as one dataset (jobs/shard.h). */
#ifndef CF_JOBS_TARS_H
#define CF_JOBS_TARS_H

#include "jobs/queue.h"

enum { CF_TAR_NUMBERS = 100000 };

/* How far a tar counts. */
struct cf_tar_mark {
    int64_t id;             /* of the row */
    int number;             /* NNNNN of its name */
    int members;            /* samples in it */
    int64_t bytes;          /* of NNNNN.tar, without the end blocks */
    int64_t manifest_bytes; /* of NNNNN.jsonl */
};

/* An open tar that no living worker holds, lowest number first and above `after` (0 at
 * first: the caller passes the number + 1 of one whose file turned out to be locked),
 * else a new one with the next number. It is this worker's until unregister or reap.
 * CF_ECONFIG when the numbers are used up. */
enum cf_status cf_queue_tar_take(struct cf_queue *q, int64_t worker_id, int after,
                                 struct cf_tar_mark *tar, struct cf_error *err);

/* The same, but never a new one: *found is false where there is none. To end what others
 * left open, once the queue is drained. */
enum cf_status cf_queue_tar_left(struct cf_queue *q, int64_t worker_id, int after,
                                 struct cf_tar_mark *tar, bool *found,
                                 struct cf_error *err);

/* It is full or the queue is drained: its file has its final name. CF_ELOST when it went
 * to somebody else. */
enum cf_status cf_queue_tar_close(struct cf_queue *q, int64_t worker_id,
                                  const struct cf_tar_mark *tar, struct cf_error *err);

#endif
