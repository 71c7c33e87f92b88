# manual pages
dist_man_MANS += %D%/cfgen.1 %D%/cfgen-batch.1 %D%/cfgen-bench.1 %D%/cfgen-jobs.1 %D%/cfgen-model.1 \
	%D%/cfgen-jobs.5 %D%/cfgen-manifest.5 %D%/cfgen-hpc.7

# what a shell with bash-completion loads by itself
bashcompletiondir = $(datadir)/bash-completion/completions
dist_bashcompletion_DATA = %D%/completion/cfgen %D%/completion/cfgen-batch \
	%D%/completion/cfgen-bench %D%/completion/cfgen-jobs %D%/completion/cfgen-model
