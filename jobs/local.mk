noinst_LIBRARIES += %D%/libjobs.a
%C%_libjobs_a_SOURCES = \
	%D%/adder.c %D%/adder.h \
	%D%/audit.c %D%/audit.h \
	%D%/cache.c %D%/cache.h \
	%D%/check.c \
	%D%/claim.c \
	%D%/copy.c %D%/copy.h \
	%D%/db.h \
	%D%/detail.c %D%/detail.h \
	%D%/finish.c \
	%D%/fs.c %D%/fs.h \
	%D%/history.c %D%/history.h \
	%D%/import.c %D%/import.h \
	%D%/input.c %D%/input.h \
	%D%/key.c %D%/key.h \
	%D%/lock.h \
	%D%/manifest.c %D%/manifest.h \
	%D%/merge.c \
	%D%/migrate.c \
	%D%/part.c %D%/part.h \
	%D%/plan.c \
	%D%/queue.c %D%/queue.h \
	%D%/rank.c \
	%D%/recipe.c %D%/recipe.h \
	%D%/remember.c %D%/remember.h \
	%D%/report.c %D%/report.h \
	%D%/row.c %D%/row.h \
	%D%/sample.c %D%/sample.h \
	%D%/schema.c %D%/schema.h \
	%D%/seeds.c %D%/seeds.h \
	%D%/self.c %D%/self.h \
	%D%/shard.c %D%/shard.h \
	%D%/sql.c %D%/sql.h \
	%D%/states.c %D%/states.h \
	%D%/tars.c %D%/tars.h \
	%D%/where.c \
	%D%/worker.c

# The commands that need nothing but the queue. The program is pipeline/cfgen-jobs.c: other
# commands of it look at the images too.
CF_JOBS_COMMANDS = \
	%D%/cmd.c %D%/cmd.h \
	%D%/cmd_add.c \
	%D%/cmd_backup.c \
	%D%/cmd_export.c \
	%D%/cmd_init.c \
	%D%/cmd_list.c \
	%D%/cmd_merge.c \
	%D%/cmd_move.c \
	%D%/cmd_plan.c \
	%D%/cmd_prune.c \
	%D%/cmd_reap.c \
	%D%/cmd_status.c
