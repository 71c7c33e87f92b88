#!/bin/bash
# The files of examples/hpc do what they say, as far as that needs no foreign scheduler.
# examples/slurm has a test of its own, make check-slurm.
. "${CFGEN_SRCDIR:-.}/tests/cli/init.sh"
hpc=$src/examples/hpc

# The same command that the manual has, in cron's environment, where $HOME is the user's.
cron_line()
{
    local line
    line=$(sed -n 's/^\*\/10 \* \* \* \* //p' "$hpc/crontab")
    [ -n "$line" ] && grep -qF "$line" "$src/man/cfgen-hpc.7" || { echo "not in the manual: $line"; return 1; }
    queue jobs.sqlite 'red apple' 'octopus' || return 1
    env -i HOME="$tmp" PATH="$PATH" CFGEN_MODEL_PATH="$CFGEN_MODEL_PATH" sh -c "$line" >mail 2>&1 </dev/null &&
        [ ! -s mail ] && cfgen-jobs status --db=jobs.sqlite --exit-code
}

units()
{
    mkdir units && cp "$hpc/cfgen.timer" units && sed "s,/usr/local/bin/,$bld/," "$hpc/cfgen.service" >units/cfgen.service &&
        SYSTEMD_UNIT_PATH=$tmp/units: systemd-analyze --user --man=no verify units/cfgen.timer units/cfgen.service >said 2>&1
    cat said
    ! grep -q 'units/cfgen\|cfgen\.\(timer\|service\)' said
}

batch_scripts()
{
    local script
    for script in "$hpc"/*.sh "$src/examples/slurm/array.sbatch"; do
        sh -n "$script" || return 1
    done
}

# index WANT NAME=VALUE SCRIPT: under such a launcher the script works on that shard of
# plan.sqlite.
index()
{
    env "$2" PBS_O_WORKDIR="$tmp" sh "$hpc/$3" >said 2>&1 || { cat said; return 1; }
    [ -f "$(printf 'plan-%05d.results.sqlite' "$1")" ] && [ "$(find . -name 'plan-*.results.sqlite' | wc -l)" -eq $((++shards)) ]
}

arrays()
{
    local shards=0
    queue all.sqlite 'red apple' 'octopus' 'banana' 'tiger' && cfgen-jobs plan --db=all.sqlite --shards=4 --out=plan.sqlite &&
        index 0 PBS_ARRAY_INDEX=0 pbs.sh && index 1 LSB_JOBINDEX=2 lsf.sh && index 2 SGE_TASK_ID=3 sge.sh
}

parallel_()
{
    rm -f plan*
    cfgen-jobs plan --db=all.sqlite --shards=4 --out=plan.sqlite && sh "$hpc/parallel.sh" plan.sqlite 4 --quiet &&
        sh "$hpc/parallel.sh" plan.sqlite 4 --quiet && cfgen-jobs merge --db=all.sqlite plan-*.results.sqlite &&
        cfgen-jobs status --db=all.sqlite --exit-code && sound all.sqlite
}

case_ "the line for cron makes the images and sends no mail" cron_line
if command -v systemd-analyze >/dev/null; then
    case_ "systemd finds nothing wrong with the units" units
else
    skip_ "systemd finds nothing wrong with the units" "no systemd-analyze"
fi
case_ "the batch scripts are valid for sh" batch_scripts
case_ "arrays of PBS, LSF and Grid Engine reach their shards" arrays
if command -v parallel >/dev/null; then
    case_ "GNU parallel does all shards, and again nothing" parallel_
else
    skip_ "GNU parallel does all shards, and again nothing" "no parallel"
fi
plan_
