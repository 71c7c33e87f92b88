# shellcheck shell=bash
# cluster.sh - a Slurm of our own: a controller and two nodes of one processor each, on this
# host and its loopback alone; sourced by bash.
#
# All that it needs lies in one directory: configuration, state, spools, logs, munge's key
# and socket. The system's own Slurm and munge, where there are any, are neither read nor
# touched. Needs no root: then everything runs as the user that calls.
#
#   cluster_missing     what keeps a cluster from running here, one line; nothing: all is there
#   cluster_start DIR   DIR must not be below a directory that others cannot search
#   cluster_stop        every process of the cluster and of its jobs is gone afterwards
#   node_start NAME     n1 or n2; cluster_start has started both
#   node_kill NAME      SIGKILL to its slurmd and to all that runs on it, as if power failed

cluster_dir=
declare -A cluster_pid

# Debian puts daemons where users do not look.
PATH=$PATH:/usr/sbin:/sbin

cluster_missing()
{
    local program
    for program in munged mungekey munge unmunge slurmctld slurmd sbatch srun scontrol squeue; do
        command -v "$program" >/dev/null || {
            echo "no $program: the packages are in the section [slurm] of .ci/packages"
            return
        }
    done
}

# COUNT ports on which nobody listens, below the range that the kernel hands out by itself.
free_ports()
{
    local port taken found=0
    taken=$(awk 'NR > 1 { split($2, a, ":"); print a[2] }' /proc/net/tcp /proc/net/tcp6 2>/dev/null)
    for port in $(shuf -i 20000-31999 -n 200); do
        grep -qx "$(printf %04X "$port")" <<<"$taken" && continue
        echo "$port"
        found=$((found + 1))
        [ "$found" -lt "$1" ] || return 0
    done
    return 1
}

# The processes that have a file below the directory open (daemons, and slurmstepd, which
# writes its title over its environment), or that were told of the configuration (jobs).
# With the name of a node: those of this node.
cluster_processes() # [NODE]
{
    local pid file log='*' word="SLURM_CONF=$cluster_dir/slurm.conf"
    [ $# = 0 ] || log=slurmd-$1.log
    {
        find /proc/[0-9]*/fd -lname "$cluster_dir/$log" 2>/dev/null
        env -u SLURM_CONF grep -lsz "^$word\$" /proc/[0-9]*/environ
    } >"$cluster_dir.found"
    while IFS=/ read -r _ _ pid file; do
        [ "$file" != environ ] || [ $# = 0 ] ||
            env -u SLURM_CONF grep -qsz "^SLURMD_NODENAME=$1\$" "/proc/$pid/environ" || continue
        echo "$pid"
    done <"$cluster_dir.found" | env -u SLURM_CONF sort -u
}

# daemon NAME COMMAND...: in the background, its words in a file, dead when this shell dies.
daemon()
{
    local name=$1
    shift
    setpriv --pdeathsig KILL "$@" >>"$cluster_dir/$name.out" 2>&1 </dev/null &
    cluster_pid[$name]=$!
}

# await SECONDS COMMAND...: until the command succeeds; false when it never does.
await()
{
    local end=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ "$SECONDS" -lt "$end" ] || return 1
        sleep 0.2
    done
}

cluster_config()
{
    local host user port_ctld port_n1 port_n2
    host=$(hostname -s)
    user=$(id -un)
    { read -r port_ctld && read -r port_n1 && read -r port_n2; } < <(free_ports 3) || return 1
    cat >"$cluster_dir/slurm.conf" <<END
ClusterName=cfgen
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$port_ctld
SlurmUser=$user
SlurmdUser=$user
AuthType=auth/munge
# What was requeued waits for longer than its credentials live: here until it is told to go on.
AuthInfo=socket=$cluster_dir/munge.socket,cred_expire=1800
CredType=cred/munge
# On the loopback alone.
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
StateSaveLocation=$cluster_dir/state
SlurmctldPidFile=$cluster_dir/slurmctld.pid
SlurmctldLogFile=$cluster_dir/slurmctld.log
SlurmdSpoolDir=$cluster_dir/spool-%n
SlurmdPidFile=$cluster_dir/slurmd-%n.pid
SlurmdLogFile=$cluster_dir/slurmd-%n.log
# Runs where no cgroup tree is mounted.
ProctrackType=proctrack/pgid
TaskPlugin=task/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/filetxt
JobCompLoc=$cluster_dir/ended
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
KillWait=8
SlurmdTimeout=10
SchedulerTimeSlice=5
SchedulerParameters=sched_interval=2,sched_min_interval=0,bf_interval=2
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
NodeName=n1 NodeHostname=$host NodeAddr=127.0.0.1 Port=$port_n1 CPUs=1 RealMemory=100
NodeName=n2 NodeHostname=$host NodeAddr=127.0.0.1 Port=$port_n2 CPUs=1 RealMemory=100
PartitionName=low Nodes=n1,n2 Default=YES MaxTime=INFINITE PriorityTier=1 GraceTime=10
PartitionName=high Nodes=n1,n2 MaxTime=INFINITE PriorityTier=10 PreemptMode=OFF
END
    # Left to itself slurmd of 22.05 dies where no cgroup tree is mounted.
    echo CgroupPlugin=cgroup/v1 >"$cluster_dir/cgroup.conf"
}

cluster_start()
{
    cluster_dir=$1
    mkdir -p "$cluster_dir/state" "$cluster_dir/spool-n1" "$cluster_dir/spool-n2" || return 1
    chmod 755 "$cluster_dir"
    export SLURM_CONF=$cluster_dir/slurm.conf
    cluster_config || return 1
    (umask 077 && mungekey --create --keyfile="$cluster_dir/munge.key") || return 1
    daemon munged munged --foreground --force --key-file="$cluster_dir/munge.key" \
        --socket="$cluster_dir/munge.socket" --pid-file="$cluster_dir/munged.pid" \
        --log-file="$cluster_dir/munged.log" --seed-file="$cluster_dir/munged.seed"
    await 10 munge -S "$cluster_dir/munge.socket" -n || return 1
    daemon slurmctld slurmctld -D
    node_start n1
    node_start n2
    await 30 cluster_idle
}

cluster_idle()
{
    [ "$(sinfo -h -o %T -p low)" = idle ]
}

node_start()
{
    daemon "$1" slurmd -D -N "$1"
}

# All at once, lest one live to report the death of another.
node_kill()
{
    # shellcheck disable=SC2046 # one word a process
    kill -KILL $(cluster_processes "$1")
    wait "${cluster_pid[$1]}" 2>/dev/null
    await 10 cluster_gone "$1" # on a busy host what was killed may hold its locks for a while
}

cluster_stop()
{
    local pid name
    [ -n "$cluster_dir" ] || return 0
    for name in n1 n2 slurmctld munged; do
        [ -z "${cluster_pid[$name]-}" ] || kill "${cluster_pid[$name]}" 2>/dev/null
        unset "cluster_pid[$name]"
    done
    await 10 cluster_gone || for pid in $(cluster_processes); do
        kill -KILL "$pid" 2>/dev/null
    done
    await 10 cluster_gone && cluster_dir=
}

# Why it did not start: the last words of its daemons.
cluster_why()
{
    grep -hiE 'fatal|error' "$cluster_dir"/*.out 2>/dev/null | grep -v pmix || tail -qn 1 "$cluster_dir"/*.out
}

cluster_gone() # [NODE]
{
    [ -z "$(cluster_processes "$@")" ]
}
