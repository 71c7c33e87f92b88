#!/bin/sh
#$ -N cfgen
#$ -t 1-64
#$ -tc 16
#$ -pe smp 8
#$ -l h_rt=4:00:00
#$ -r y
#$ -cwd
#$ -V
# One shard of plan.sqlite for each task: qsub sge.sh. Tasks count from 1, shards from 0:
# --shard=auto knows. Grid Engine requeues what ends with 99.
exec cfgen-batch --db=plan.sqlite --shard=auto --time-limit=3:58:00 --stop-status=99
