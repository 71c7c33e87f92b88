#!/bin/sh
#BSUB -J "cfgen[1-64]%16"
#BSUB -n 8
#BSUB -R "span[hosts=1]"
#BSUB -W 4:00
#BSUB -r
#BSUB -Q "75"
#BSUB -o cfgen-%J_%I.log
# One shard of plan.sqlite for each element: bsub <lsf.sh. Elements count from 1, shards from
# 0: --shard=auto knows. LSF itself requeues what ends with 75.
exec cfgen-batch --db=plan.sqlite --shard=auto --time-limit=3:58:00
