noinst_LIBRARIES += %D%/libbase.a
%C%_libbase_a_SOURCES = \
	%D%/alloc.c %D%/alloc.h \
	%D%/arena.c %D%/arena.h \
	%D%/bytes.h \
	%D%/cancel.c %D%/cancel.h \
	%D%/cli.c %D%/cli.h \
	%D%/clock.c %D%/clock.h \
	%D%/digest.c %D%/digest.h \
	%D%/duration.c %D%/duration.h \
	%D%/error.c %D%/error.h \
	%D%/fault.c %D%/fault.h \
	%D%/file.c %D%/file.h \
	%D%/image.h \
	%D%/json.c %D%/json.h \
	%D%/lanczos.c %D%/lanczos.h \
	%D%/log.c %D%/log.h \
	%D%/memory.c %D%/memory.h \
	%D%/parse.c %D%/parse.h \
	%D%/rng.c %D%/rng.h \
	%D%/team.c %D%/team.h \
	%D%/tensor.c %D%/tensor.h \
	%D%/topology.c %D%/topology.h \
	%D%/utf8.c %D%/utf8.h \
	%D%/weight.c %D%/weight.h
