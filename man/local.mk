# manual pages
dist_man_MANS += %D%/cfgen.1 %D%/cfgen-batch.1 %D%/cfgen-jobs.1 \
	%D%/cfgen-jobs.5 %D%/cfgen-manifest.5 %D%/cfgen-hpc.7
