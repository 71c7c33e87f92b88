# the real Slurm: longer than make check should be, so a target of its own
CF_HPC_EXAMPLES = examples/slurm/array.sbatch examples/hpc/crontab examples/hpc/cfgen.service \
	examples/hpc/cfgen.timer examples/hpc/parallel.sh examples/hpc/pbs.sh \
	examples/hpc/lsf.sh examples/hpc/sge.sh
EXTRA_DIST += $(CF_HPC_EXAMPLES) %D%/slurm/cluster.sh
dist_noinst_SCRIPTS += %D%/slurm.sh %D%/cli/hpc.sh
TESTS += %D%/cli/hpc.sh
%D%/cli/hpc.log: cfgen-batch$(EXEEXT) cfgen-jobs$(EXEEXT)

.PHONY: check-slurm
check-slurm: cfgen-batch$(EXEEXT) cfgen-jobs$(EXEEXT)
	@$(MAKE) $(AM_MAKEFLAGS) check-TESTS TESTS='tests/slurm.sh'
