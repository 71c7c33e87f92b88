#!/bin/sh
#PBS -N cfgen
#PBS -J 0-63
#PBS -l select=1:ncpus=8
#PBS -l walltime=04:00:00
#PBS -r y
#PBS -V
# One shard of plan.sqlite for each subjob: qsub pbs.sh. Where work was left (status 75), the
# same again, or with -J 7-7 one shard alone.
cd "$PBS_O_WORKDIR" || exit
exec cfgen-batch --db=plan.sqlite --shard=auto --time-limit=03:58:00
