# benches: built by "make bench", never part of "make check"
EXTRA_PROGRAMS = %D%/dnn_bench
%C%_dnn_bench_SOURCES = %D%/dnn_bench.c
%C%_dnn_bench_LDADD = $(CF_DNN_LIBS) $(CF_BASE_LIBS)
CLEANFILES += $(EXTRA_PROGRAMS)
bench: $(EXTRA_PROGRAMS)
.PHONY: bench
