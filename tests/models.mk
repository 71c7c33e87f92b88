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
