# tests of models/
CF_MODELS_LIBS = models/libmodels.a $(CF_DNN_LIBS) weights/libweights.a $(CF_BASE_LIBS)

# Every golden fixture under a directory: make check-golden GOLDEN=DIR
noinst_PROGRAMS += %D%/check-golden
%C%_check_golden_SOURCES = %D%/golden.c %D%/golden.h %D%/golden_main.c \
	%D%/golden_fixture.c %D%/golden_fixture.h %D%/golden_codec.c \
	%D%/golden_infinity.c %D%/golden_model.c
%C%_check_golden_CPPFLAGS = $(AM_CPPFLAGS) -DCF_GOLDEN_SRCDIR='"$(abs_top_srcdir)"'
%C%_check_golden_LDADD = $(CF_MODELS_LIBS)

GOLDEN = $(abs_top_srcdir)/tests/golden
.PHONY: check-golden
check-golden: tests/check-golden$(EXEEXT)
	tests/check-golden$(EXEEXT) '$(GOLDEN)'

check_PROGRAMS += %D%/schedule_test %D%/sampler_test %D%/bsq_test
TESTS += %D%/schedule_test %D%/sampler_test %D%/bsq_test
%C%_schedule_test_SOURCES = %D%/schedule_test.c
%C%_schedule_test_CPPFLAGS = $(CF_TEST_CPPFLAGS)
%C%_schedule_test_LDADD = $(CF_MODELS_LIBS) $(CMOCKA_LIBS)
%C%_sampler_test_SOURCES = %D%/sampler_test.c
%C%_sampler_test_CPPFLAGS = $(CF_TEST_CPPFLAGS)
%C%_sampler_test_LDADD = $(CF_MODELS_LIBS) $(CMOCKA_LIBS)
%C%_bsq_test_SOURCES = %D%/bsq_test.c
%C%_bsq_test_CPPFLAGS = $(CF_TEST_CPPFLAGS)
%C%_bsq_test_LDADD = $(CF_MODELS_LIBS) $(CMOCKA_LIBS)
