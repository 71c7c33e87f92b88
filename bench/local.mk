# benches: built and run by "make bench", never part of "make check"
EXTRA_PROGRAMS = %D%/claims %D%/results %D%/dnn_bench %D%/approx
CLEANFILES += $(EXTRA_PROGRAMS)
%C%_claims_SOURCES = %D%/claims.c
%C%_claims_LDADD = $(CF_JOBS_LIBS)
%C%_results_SOURCES = %D%/results.c
%C%_results_LDADD = $(CF_JOBS_LIBS)
%C%_dnn_bench_SOURCES = %D%/dnn_bench.c
%C%_dnn_bench_LDADD = $(CF_DNN_LIBS) $(CF_BASE_LIBS)
%C%_approx_SOURCES = %D%/approx.c
%C%_approx_LDADD = $(CF_PIPELINE_LIBS)
nodist_EXTRA_%C%_approx_SOURCES = dummy.cxx

EXTRA_DIST += %D%/lib.sh
dist_noinst_SCRIPTS += %D%/medium.sh %D%/shipped.sh %D%/queue_scale.sh %D%/memory.sh \
	%D%/approx.sh
EXTRA_DIST += %D%/queue_rows.sql

.PHONY: bench bench-queue bench-memory bench-approx
bench: all $(EXTRA_PROGRAMS)
	@CFGEN_SRCDIR='$(abs_top_srcdir)'; export CFGEN_SRCDIR; \
	CFGEN_BUILDDIR='$(abs_top_builddir)'; export CFGEN_BUILDDIR; \
	bench/dnn_bench$(EXEEXT) && \
	$(SHELL) '$(srcdir)/bench/shipped.sh' && $(SHELL) '$(srcdir)/bench/medium.sh'

# The queue at ten million jobs: an hour and 20 GB. CFGEN_ROWS=1000000 for a quick look.
bench-queue: all $(EXTRA_PROGRAMS)
	@CFGEN_SRCDIR='$(abs_top_srcdir)'; export CFGEN_SRCDIR; \
	CFGEN_BUILDDIR='$(abs_top_builddir)'; export CFGEN_BUILDDIR; \
	$(SHELL) '$(srcdir)/bench/queue_scale.sh'

# Peak memory at the released geometries: an hour and 10 GB of disk. CFGEN_CASES names cases.
bench-memory: all
	@CFGEN_SRCDIR='$(abs_top_srcdir)'; export CFGEN_SRCDIR; \
	CFGEN_BUILDDIR='$(abs_top_builddir)'; export CFGEN_BUILDDIR; \
	$(SHELL) '$(srcdir)/bench/memory.sh' $$CFGEN_CASES

# What approximations cost in quality and save in time: half an hour on two cores.
bench-approx: all $(EXTRA_PROGRAMS)
	@CFGEN_SRCDIR='$(abs_top_srcdir)'; export CFGEN_SRCDIR; \
	CFGEN_BUILDDIR='$(abs_top_builddir)'; export CFGEN_BUILDDIR; \
	$(SHELL) '$(srcdir)/bench/approx.sh'
