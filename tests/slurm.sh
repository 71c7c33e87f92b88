#!/bin/bash
# slurm.sh - examples/slurm/array.sbatch as it stands, in a real Slurm of two nodes: whatever
# happens to its tasks, all jobs of the plan are done once, the merge has no conflict, and
# the result is that of an undisturbed run on one machine, byte for byte.
#
# Six shards, each with a fate of its own:
#   0  preempted by a partition of higher priority, with grace
#   1  scontrol requeue
#   2  its worker gets SIGKILL; the shard is submitted again by its number
#   3  its node dies
#   4  its time limit ends
#   5  left in peace
# The undisturbed run goes on beside it, at a lower priority. About two minutes and a half.
#
# Where Slurm cannot be had this is skipped with one line; CFGEN_REQUIRE_SLURM=1 makes that a
# failure.
. "${CFGEN_SRCDIR:-.}/tests/cli/init.sh"
. "$src/tests/slurm/cluster.sh"

script=$src/examples/slurm/array.sbatch
shards=6
reference=
held=() # by shard: jobs in hand when its worker was killed

give_up() # REASON
{
    if [ -n "${CFGEN_REQUIRE_SLURM-}" ]; then
        printf 'not ok 1 - Slurm can be had here\n# %s\n1..1\n' "$1"
        exit 1
    fi
    echo "1..0 # SKIP $1"
    exit 0
}

cleanup()
{
    [ -z "$reference" ] || kill "$reference" 2>/dev/null
    cluster_stop
}

# --- what there is to do ---------------------------------------------------------------

# Processor seconds of one image on one thread: load of others changes nothing in it.
calibrate()
{
    local TIMEFORMAT='%U %S'
    queue speed.sqlite 'a fox' && echo 'an owl' |
        cfgen-jobs add --db=speed.sqlite --format=text --seeds=0..298 - || return 1
    { time cfgen-batch --db=speed.sqlite --output=speed --threads=1 --claim=1 --quiet; } 2>spent || return 1
    image_s=$(awk '{ print ($1 + $2) / 300 }' spent)
    echo "an image costs $image_s s of a processor"
}

# Four prompts for each shard, variants by seed, so that shard I needs WORK[I] seconds.
# Prompts are dealt out to the shards in turn: the rule of a plan.
fill()
{
    local work=(5 4 4 4 25 1)
    cfgen-jobs init --db=all.sqlite && cut -f 1 "$src/tests/data/PartiPrompts.tsv" | sed 1d | awk '!seen[$0]++' |
        awk -v n="$shards" -v image="$image_s" -v work="${work[*]}" '
            BEGIN { split(work, w, " ") }
            NR > 4 * n { exit }
            { gsub(/["\\]/, "\\\\&")
              printf "{\"prompt\":\"%s\",\"seeds\":\"0..%d\"}\n", $0, w[(NR - 1) % n + 1] / image / 4 }' >jobs.jsonl &&
        cfgen-jobs add --db=all.sqlite jobs.jsonl && sqlite3 all.sqlite '.backup alone.sqlite'
}

plan_is_made()
{
    cfgen-jobs plan --db=all.sqlite --shards="$shards" --out=plan.sqlite
}

# The run of one machine, of which the cluster knows nothing.
start_reference()
{
    env -u SLURM_CONF nice -n 5 cfgen-batch --db=alone.sqlite --output=alone --quiet >reference.log 2>&1 &
    reference=$!
}

# --- questions to the cluster ----------------------------------------------------------

results() # SHARD
{
    printf 'plan-%05d.results.sqlite' "$1"
}

# Images of a shard so far; 0 before it has begun.
done_in() # SHARD
{
    cfgen-jobs status --db="$(results "$1")" --json 2>/dev/null | jq .states.done 2>/dev/null | grep . || echo 0
}

left_in() # SHARD
{
    cfgen-jobs status --db="$(results "$1")" --json | jq .left
}

# Is it well under way?
busy() # TASK SHARD
{
    [ "$(state "$1")" = RUNNING ] && [ "$(done_in "$2")" -gt 20 ]
}

state() # TASK
{
    squeue -h -j "$1" -o %T
}

fact() # TASK NAME
{
    scontrol show job "$1" | tr ' ' '\n' | sed -n "s/^$2=//p" | head -n 1
}

waits() # TASK
{
    [ "$(state "$1")" = PENDING ]
}

# The record of completed jobs has a line in which all of these words stand.
ended() # WORD...
{
    local lines word
    lines=$(cat "$cluster_dir/ended")
    for word; do
        lines=$(grep -E -- "(^| )$word( |\$)" <<<"$lines") || { echo "no $word"; return 1; }
    done
}

# Requeued jobs wait for no reason that matters here.
go_on() # TASK...
{
    local task
    for task; do
        ! waits "$task" || scontrol update JobId="$task" StartTime=now
    done
}

# The process that works on a shard.
worker_of() # SHARD
{
    sqlite3 -cmd '.timeout 20000' "$(results "$1")" 'SELECT pid FROM worker WHERE ended IS NULL ORDER BY id DESC LIMIT 1'
}

# Workers of a shard that have not said goodbye.
unheard() # SHARD
{
    sqlite3 -cmd '.timeout 20000' "$(results "$1")" 'SELECT count(*) FROM worker WHERE ended IS NULL'
}

# A shard whose only worker was killed: it left without a word, with jobs in hand and others
# to do.
cut_off() # SHARD
{
    sound "$(results "$1")" || return 1
    [ "$(unheard "$1")" -eq 1 ] || { echo "shard $1: its worker ended in good order"; return 1; }
    held[$1]=$(sqlite3 "$(results "$1")" 'SELECT count(*) FROM lease')
    [ "${held[$1]}" -gt 0 ] || { echo "shard $1: nothing was in hand"; return 1; }
    [ "$(left_in "$1")" -gt 0 ] || { echo "shard $1 had ended before it was disturbed"; return 1; }
}

# A stopped shard: the worker said goodbye, no lease is left, nobody was charged, and there
# is work for the next run.
in_good_order() # SHARD
{
    local db charged
    db=$(results "$1")
    sound "$db" || return 1
    [ "$(unheard "$1")" -eq 0 ] || { echo "shard $1: its worker was cut off"; return 1; }
    charged=$(sqlite3 "$db" 'SELECT (SELECT count(*) FROM lease) + count(*) FROM job WHERE state <> 2 AND attempts + crashes > 0')
    [ "$charged" -eq 0 ] || { echo "$charged leases left or jobs charged"; return 1; }
    [ "$(left_in "$1")" -gt 0 ] || { echo "shard $1 had ended before it was disturbed"; return 1; }
}

submit() # SBATCH-ARGUMENT...
{
    sbatch --parsable "$@"
}

worker_options=(--output=images --threads=1 --claim=1 --quiet)

# --- the cases, in the order of time ---------------------------------------------------

# The limit is a minute, the least there is; half of it goes before the worker starts, which
# has more to do than fits into the rest however well it was calibrated.
submit_limited()
{
    cat >late.sh <<'END'
#!/bin/sh
# Data are copied to the node first, say, until half a minute is left.
task=${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID
if [ -z "$SLURM_RESTART_COUNT" ]; then
    squeue -h -j "$task" -o %e >limit
    while case $(squeue -h -j "$task" -o %L) in 1:00 | 0:[3-5]? | '') ;; *) false ;; esac; do sleep 0.5; done
fi
exec sh "$@"
END
    limited=$(submit --array=4 --nodelist=n2 --time=1 --job-name=cfgen --requeue --open-mode=append \
        --output=%x-%A_%a.log late.sh "$script" plan.sqlite "${worker_options[@]}")_4
}

submit_array()
{
    array=$(submit --array=0-3,5%2 "$script" plan.sqlite "${worker_options[@]}") &&
        await 60 busy "${array}_0" 0 && [ "$(squeue -h -t RUNNING -o %N | sort | tr '\n' ' ')" = "n1 n2 " ] &&
        [ "$(squeue -h -r -t PENDING -j "$array" | wc -l)" -eq 4 ]
}

preempted()
{
    local urgent
    urgent=$(submit --partition=high --nodelist=n1 --output=urgent.log --wrap='echo it ran') || return 1
    await 60 waits "${array}_0" && await 30 grep -q 'it ran' urgent.log || { squeue; return 1; }
    echo "urgent job $urgent"
    grep -q 'Exited with exit code 75' "cfgen-${array}_0.log" || { cat "cfgen-${array}_0.log"; return 1; }
    [ "$(fact "${array}_0" Restarts)" -eq 1 ] && in_good_order 0
}

requeued()
{
    await 90 busy "${array}_1" 1 && scontrol requeue "${array}_1" && await 60 waits "${array}_1" || return 1
    [ "$(fact "${array}_1" Restarts)" -eq 1 ] && in_good_order 1
}

killed()
{
    local pid
    await 90 busy "${array}_2" 2 && pid=$(worker_of 2) && kill -KILL "$pid" || return 1
    await 30 ended "ArrayJobId=$array" ArrayTaskId=2 JobState=FAILED || { cat "$cluster_dir/ended"; return 1; }
    ended "ArrayJobId=$array" ArrayTaskId=2 ExitCode=137:0 && cut_off 2
}

node_died()
{
    await 90 busy "${array}_3" 3 || return 1
    dead=$(squeue -h -j "${array}_3" -o %N)
    node_kill "$dead"
    cut_off 3 && await 60 waits "${array}_3" || { sinfo; squeue; return 1; }
    sinfo -h -N -n "$dead" -o %T | grep -q down && [ "$(fact "${array}_3" Restarts)" -eq 1 ]
}

limit_kept()
{
    local limit late
    await 90 waits "$limited" || { squeue; cat "cfgen-$limited.log" "$cluster_dir/ended"; return 1; }
    [ "$(fact "$limited" Restarts)" -eq 1 ] || { cat "cfgen-$limited.log"; return 1; }
    grep -q 'Exited with exit code 75' "cfgen-$limited.log" || { cat "cfgen-$limited.log"; return 1; }
    ! ended "ArrayTaskId=4" JobState=TIMEOUT || { echo "Slurm had to end it"; return 1; }
    in_good_order 4 && [ "$(done_in 4)" -gt 0 ] || return 1
    # Slurm looks at limits twice a minute: it might have been late itself.
    limit=$(date -d "$(cat limit)" +%s000) || return 1
    late=$(sqlite3 "$(results 4)" "SELECT count(*) FROM worker WHERE ended >= $limit")
    [ "$late" -eq 0 ] || { echo "the worker ended after the limit"; return 1; }
}

node_back()
{
    node_start "$dead"
    await 30 eval "sinfo -h -N -n $dead -o %T | grep -qE 'idle|alloc|mixed'"
}

resubmitted()
{
    again=$(submit --array=2 "$script" plan.sqlite "${worker_options[@]}") &&
        go_on "${array}_0" "${array}_1" "${array}_3"
}

all_ended()
{
    go_on "${array}_0" "${array}_1" "${array}_3" "$limited"
    [ -z "$(squeue -h)" ]
}

run_to_the_end()
{
    local i
    await 300 all_ended || { squeue; return 1; }
    for i in $(seq 0 $((shards - 1))); do
        sound "$(results "$i")" && [ "$(left_in "$i")" -eq 0 ] || { echo "shard $i: $(left_in "$i") left"; return 1; }
    done
    for i in 0 1 3 5; do
        ended "ArrayJobId=$array" "ArrayTaskId=$i" JobState=COMPLETED || { cat "$cluster_dir/ended"; return 1; }
    done
    ended "ArrayJobId=$again" ArrayTaskId=2 JobState=COMPLETED && ended "ArrayJobId=${limited%_*}" JobState=COMPLETED ||
        { cat "$cluster_dir/ended"; return 1; }
}

# given_back SHARD OUTCOME MESSAGE: how many attempts ended so.
given_back()
{
    sqlite3 "$(results "$1")" "SELECT count(*) FROM attempt WHERE outcome = '$2' AND message = '$3'"
}

accounts()
{
    local i crashes
    for i in $(seq 0 $((shards - 1))); do
        crashes=$(sqlite3 "$(results "$i")" 'SELECT CAST(total(crashes) AS INTEGER) FROM job')
        [ "$crashes" -eq "$([ "$i" -ne 2 ] && echo 0 || echo "${held[2]}")" ] || { echo "shard $i: $crashes crashes"; return 1; }
    done
    echo "held: ${held[2]} by the killed worker, ${held[3]} on the dead node"
    [ "$(given_back 2 crashed 'its worker died')" -eq "${held[2]}" ] &&
        [ "$(given_back 3 released 'Slurm started its task again')" -eq "${held[3]}" ]
}

done_once()
{
    local i twice
    for i in $(seq 0 $((shards - 1))); do
        twice=$(sqlite3 "$(results "$i")" "SELECT job_id FROM attempt WHERE outcome = 'done' GROUP BY job_id HAVING count(*) > 1")
        [ -z "$twice" ] || { echo "shard $i: $twice"; return 1; }
    done
    [ "$(find images -name '*.webp' | wc -l)" -eq "$(sqlite3 alone.sqlite 'SELECT count(*) FROM job')" ] && no_temporaries images
}

third_submission()
{
    local idle before
    before=$(find images -type f -printf '%p %T@\n' | sort | sha256sum)
    idle=$(submit --array=2,4 "$script" plan.sqlite "${worker_options[@]}") || return 1
    await 60 eval '[ -z "$(squeue -h)" ]' || { squeue; return 1; }
    [ "$(grep -c "ArrayJobId=$idle .*ExitCode=0:0" "$cluster_dir/ended")" -eq 2 ] || { tail -n 2 "$cluster_dir/ended"; return 1; }
    [ "$before" = "$(find images -type f -printf '%p %T@\n' | sort | sha256sum)" ]
}

merged()
{
    cfgen-jobs merge --db=all.sqlite plan-*.results.sqlite >merge.log 2>&1 || { cat merge.log; return 1; }
    sound all.sqlite && cfgen-jobs status --db=all.sqlite --exit-code
}

merged_again()
{
    manifest all.sqlite >once.jsonl && cfgen-jobs merge --db=all.sqlite plan-*.results.sqlite &&
        manifest all.sqlite >twice.jsonl && cmp once.jsonl twice.jsonl
}

reference_ended()
{
    wait "$reference" || { cat reference.log; return 1; }
    reference=
    sound alone.sqlite
}

same_manifest()
{
    manifest alone.sqlite >alone.jsonl && manifest all.sqlite >all.jsonl && [ -s all.jsonl ] && cmp alone.jsonl all.jsonl
}

nothing_left()
{
    cluster_stop || { cluster_processes | xargs -r ps -o pid,args -p; return 1; }
}

missing=$(cluster_missing)
[ -z "$missing" ] || give_up "$missing"
chmod 755 "$tmp" # munge wants its socket where others could reach it
cluster_start "$tmp/cluster" >start.log 2>&1 || give_up "Slurm does not start here: $(cluster_why | tail -n 1)"

case_ "the speed of this machine is known" calibrate
case_ "jobs are added" fill
case_ "a plan is made" plan_is_made
start_reference
case_ "a task with a limit of a minute is submitted" submit_limited
case_ "an array over the plan runs two tasks at a time" submit_array
case_ "preemption with grace: the worker stops in good order and the task requeues itself" preempted
case_ "scontrol requeue: the worker stops in good order" requeued
case_ "kill -9 of a step: the task fails and is not requeued" killed
case_ "node death: Slurm requeues the task" node_died
case_ "the dead node comes back" node_back
case_ "the killed shard alone is submitted again, the others need not wait" resubmitted
case_ "time limit: the worker stops before it and the task requeues itself" limit_kept
case_ "every task runs to its end" run_to_the_end
case_ "what the killed worker held counts as crashed, once; what the dead node held does not" accounts
case_ "every job was done once" done_once
case_ "a further submission does nothing and succeeds" third_submission
case_ "the merge has no conflict and every job is done" merged
case_ "merging again changes nothing" merged_again
case_ "the run on one machine ends well" reference_ended
case_ "both manifests are equal, byte for byte" same_manifest
case_ "both sets of images are equal, byte for byte" diff -rq images alone
case_ "no process of the cluster is left" nothing_left
plan_
