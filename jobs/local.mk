noinst_LIBRARIES += %D%/libjobs.a
%C%_libjobs_a_SOURCES = \
	%D%/adder.c %D%/adder.h \
	%D%/check.c \
	%D%/claim.c \
	%D%/db.h \
	%D%/fs.c %D%/fs.h \
	%D%/key.c %D%/key.h \
	%D%/queue.c %D%/queue.h \
	%D%/recipe.c %D%/recipe.h \
	%D%/schema.c %D%/schema.h \
	%D%/self.c %D%/self.h \
	%D%/sql.c %D%/sql.h \
	%D%/worker.c
