# Waiting threads sleep: several tests run side by side on few processors.
# Every test program speaks TAP; the driver counts single cases, not programs.
TEST_EXTENSIONS = .sh
LOG_DRIVER = env AM_TAP_AWK='$(AWK)' $(SHELL) $(top_srcdir)/build-aux/tap-driver.sh
SH_LOG_DRIVER = $(LOG_DRIVER)
LOG_COMPILER = bash $(top_srcdir)/tests/cmocka.sh
AM_TESTS_ENVIRONMENT = \
	CMOCKA_MESSAGE_OUTPUT=TAP; export CMOCKA_MESSAGE_OUTPUT; \
	CFGEN_SRCDIR='$(abs_top_srcdir)'; export CFGEN_SRCDIR; \
	CFGEN_BUILDDIR='$(abs_top_builddir)'; export CFGEN_BUILDDIR; \
	OMP_WAIT_POLICY=passive; export OMP_WAIT_POLICY; \
	ASAN_OPTIONS=detect_leaks=1:allocator_may_return_null=1; export ASAN_OPTIONS; \
	LSAN_OPTIONS=suppressions='$(abs_top_srcdir)/tests/lsan.supp':print_suppressions=0; export LSAN_OPTIONS; \
	UBSAN_OPTIONS=print_stacktrace=1; export UBSAN_OPTIONS;

CF_TEST_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)

dist_noinst_SCRIPTS += %D%/layers.sh
TESTS += %D%/layers.sh
EXTRA_DIST += %D%/lsan.supp %D%/golden %D%/models

include tests/base.mk
include tests/weights.mk
include tests/dnn.mk
include tests/textenc.mk
include tests/models.mk
include tests/jobs.mk
include tests/store.mk
include tests/pipeline.mk
include tests/fuzz.mk
include tests/fault.mk
include tests/slurm.mk
include tests/pkg.mk
