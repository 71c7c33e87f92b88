# benches: built by "make bench", never part of "make check"
EXTRA_PROGRAMS = %D%/cfgen-synth
%C%_cfgen_synth_SOURCES = %D%/synth.c
%C%_cfgen_synth_LDADD = $(CF_BASE_LIBS)
CLEANFILES += %D%/cfgen-synth

EXTRA_DIST += %D%/lib.sh
dist_noinst_SCRIPTS += %D%/medium.sh %D%/shipped.sh

.PHONY: bench
bench: all bench/cfgen-synth$(EXEEXT)
	@CFGEN_SRCDIR='$(abs_top_srcdir)'; export CFGEN_SRCDIR; \
	CFGEN_BUILDDIR='$(abs_top_builddir)'; export CFGEN_BUILDDIR; \
	$(SHELL) '$(srcdir)/bench/shipped.sh' && $(SHELL) '$(srcdir)/bench/medium.sh'
