# the tree as a package: what a stranger runs first, manuals, the other oneDNN
EXTRA_DIST += GNUmakefile quickstart .ci/daemons.sh .ci/lib.sh .ci/packages .ci/run examples/prompts.txt

dist_noinst_SCRIPTS += %D%/cmocka.sh %D%/installed.sh %D%/man.sh %D%/onednn3.sh
TESTS += %D%/man.sh

.PHONY: check-onednn3
check-onednn3:
	@$(MAKE) $(AM_MAKEFLAGS) dist >/dev/null
	@CFGEN_SRCDIR='$(abs_top_srcdir)'; export CFGEN_SRCDIR; \
	$(SHELL) '$(srcdir)/tests/onednn3.sh' '$(abs_builddir)/$(DIST_ARCHIVES)' || test $$? = 77

# The model is looked for where it was installed, which a DESTDIR moves away.
installcheck-local:
	@test -n '$(DESTDIR)' || $(SHELL) '$(srcdir)/tests/installed.sh' '$(bindir)' '$(mandir)'
