bin_PROGRAMS += cfgen-bench
cfgen_bench_SOURCES = \
	%D%/bars.c %D%/bars.h \
	%D%/bench.h \
	%D%/cases.c \
	%D%/cfgen-bench.c \
	%D%/load.c %D%/load.h \
	%D%/machine.c %D%/machine.h \
	%D%/part_attention.c \
	%D%/part_decoder.c \
	%D%/part_image.c \
	%D%/part_large.c \
	%D%/part_linear.c \
	%D%/part_machine.c \
	%D%/part_queue.c \
	%D%/part_transformer.c \
	%D%/part_vector.c \
	%D%/parts.h \
	%D%/peer.c %D%/peer.h \
	%D%/subject.c %D%/subject.h \
	%D%/tell.c \
	pipeline/convert_out.c pipeline/convert_out.h \
	pipeline/out_copy.c pipeline/out_copy.h \
	pipeline/synth_law.c pipeline/synth_law.h \
	pipeline/synth_model.c pipeline/synth_model.h \
	pipeline/synth_part.c pipeline/synth_part.h
cfgen_bench_LDADD = $(CF_PIPELINE_LIBS)
nodist_EXTRA_cfgen_bench_SOURCES = dummy.cxx

# benches: built and run by "make bench", never part of "make check"
EXTRA_PROGRAMS = %D%/claims %D%/results %D%/approx
CLEANFILES += $(EXTRA_PROGRAMS)
%C%_claims_SOURCES = %D%/claims.c
%C%_claims_LDADD = $(CF_JOBS_LIBS)
%C%_results_SOURCES = %D%/results.c
%C%_results_LDADD = $(CF_JOBS_LIBS)
%C%_approx_SOURCES = %D%/approx.c
%C%_approx_LDADD = $(CF_PIPELINE_LIBS)
nodist_EXTRA_%C%_approx_SOURCES = dummy.cxx

EXTRA_DIST += %D%/lib.sh %D%/pytorch_skeleton.py
dist_noinst_SCRIPTS += %D%/medium.sh %D%/shipped.sh %D%/queue_scale.sh %D%/memory.sh %D%/against_pytorch.sh \
	%D%/approx.sh
EXTRA_DIST += %D%/queue_rows.sql

.PHONY: bench bench-queue bench-memory bench-approx
bench: all $(EXTRA_PROGRAMS)
	@CFGEN_SRCDIR='$(abs_top_srcdir)'; export CFGEN_SRCDIR; \
	CFGEN_BUILDDIR='$(abs_top_builddir)'; export CFGEN_BUILDDIR; \
	./cfgen-bench$(EXEEXT) --quick --force --only=machine,linear,attention,vector,decoder && \
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
