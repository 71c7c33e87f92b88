noinst_LIBRARIES += %D%/libjobs.a
%C%_libjobs_a_SOURCES = \
	%D%/adder.c %D%/adder.h \
	%D%/check.c \
	%D%/claim.c \
	%D%/db.h \
	%D%/finish.c \
	%D%/fs.c %D%/fs.h \
	%D%/import.c %D%/import.h \
	%D%/input.c %D%/input.h \
	%D%/key.c %D%/key.h \
	%D%/migrate.c \
	%D%/queue.c %D%/queue.h \
	%D%/recipe.c %D%/recipe.h \
	%D%/report.c %D%/report.h \
	%D%/row.c %D%/row.h \
	%D%/schema.c %D%/schema.h \
	%D%/seeds.c %D%/seeds.h \
	%D%/self.c %D%/self.h \
	%D%/sql.c %D%/sql.h \
	%D%/tars.c %D%/tars.h \
	%D%/where.c \
	%D%/worker.c

bin_PROGRAMS += cfgen-jobs
cfgen_jobs_SOURCES = \
	%D%/cfgen-jobs.c \
	%D%/cmd.c %D%/cmd.h \
	%D%/cmd_add.c \
	%D%/cmd_backup.c \
	%D%/cmd_export.c \
	%D%/cmd_init.c \
	%D%/cmd_list.c \
	%D%/cmd_move.c \
	%D%/cmd_prune.c \
	%D%/cmd_reap.c \
	%D%/cmd_status.c \
	%D%/detail.c %D%/detail.h \
	%D%/part.c %D%/part.h
cfgen_jobs_LDADD = $(CF_JOBS_LIBS)
