#!/bin/sh
# All shards of a plan with GNU parallel, four at a time; the same command again does what is
# left:
#
#   parallel.sh plan.sqlite SHARDS [OPTION OF cfgen-batch]...
#
# Several hosts that share the directory: PARALLEL='--sshloginfile hosts --workdir .'
plan=${1:?no plan} shards=${2:?how many shards}
shift 2
seq 0 $((shards - 1)) |
    parallel --jobs 4 --joblog "$plan.log" --resume-failed cfgen-batch --db="$plan" --shard={} "$@"
