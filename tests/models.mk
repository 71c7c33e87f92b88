# tests of models/
CF_MODELS_LIBS = models/libmodels.a $(CF_DNN_LIBS) $(CF_WEIGHTS_LIBS)

# Fixtures of the transformer, the tokenizer and the quantizer, for check-golden and tests.
check_LIBRARIES += %D%/libgoldeninfinity.a
%C%_libgoldeninfinity_a_SOURCES = %D%/golden_codec.c %D%/golden_fixture.c \
	%D%/golden_fixture.h %D%/golden_infinity.c

# Every golden fixture under a directory: make check-golden GOLDEN=DIR
check_PROGRAMS += %D%/check-golden
%C%_check_golden_SOURCES = %D%/golden.c %D%/golden.h %D%/golden_main.c \
	%D%/golden_model.c
%C%_check_golden_CPPFLAGS = $(AM_CPPFLAGS) -DCF_GOLDEN_SRCDIR='"$(abs_top_srcdir)"'
%C%_check_golden_LDADD = %D%/libgoldeninfinity.a %D%/libgoldentext.a $(CF_ENGINE_LIBS)
nodist_EXTRA_%C%_check_golden_SOURCES = dummy.cxx

GOLDEN = $(abs_top_srcdir)/tests/golden
.PHONY: check-golden
check-golden: tests/check-golden$(EXEEXT)
	tests/check-golden$(EXEEXT) '$(GOLDEN)'

dist_noinst_SCRIPTS += %D%/golden.sh
TESTS += %D%/golden.sh

check_LIBRARIES += %D%/libmodelsutil.a
%C%_libmodelsutil_a_SOURCES = %D%/models_util.c %D%/models_util.h
%C%_libmodelsutil_a_CPPFLAGS = $(CF_TEST_CPPFLAGS)

CF_MODELS_TEST_LIBS = %D%/libmodelsutil.a %D%/libgoldeninfinity.a %D%/libweightsutil.a \
	$(CF_MODELS_LIBS) $(CMOCKA_LIBS)

check_PROGRAMS += %D%/schedule_test %D%/sampler_test %D%/bsq_test %D%/vae_test \
	%D%/infinity_test %D%/infinity_bits_test %D%/infinity_files_test \
	%D%/infinity_hold_test %D%/infinity_work_test %D%/infinity_approx_test
TESTS += %D%/schedule_test %D%/sampler_test %D%/bsq_test %D%/vae_test \
	%D%/infinity_test %D%/infinity_bits_test %D%/infinity_files_test \
	%D%/infinity_hold_test %D%/infinity_work_test %D%/infinity_approx_test
%C%_schedule_test_SOURCES = %D%/schedule_test.c
%C%_schedule_test_CPPFLAGS = $(CF_TEST_CPPFLAGS)
%C%_schedule_test_LDADD = $(CF_MODELS_LIBS) $(CMOCKA_LIBS)
%C%_sampler_test_SOURCES = %D%/sampler_test.c
%C%_sampler_test_CPPFLAGS = $(CF_TEST_CPPFLAGS)
%C%_sampler_test_LDADD = $(CF_MODELS_LIBS) $(CMOCKA_LIBS)
%C%_bsq_test_SOURCES = %D%/bsq_test.c
%C%_bsq_test_CPPFLAGS = $(CF_TEST_CPPFLAGS)
%C%_bsq_test_LDADD = $(CF_MODELS_LIBS) $(CMOCKA_LIBS)
%C%_vae_test_SOURCES = %D%/vae_test.c %D%/golden_tap.c
%C%_vae_test_CPPFLAGS = $(CF_TEST_CPPFLAGS)
%C%_vae_test_LDADD = $(CF_MODELS_TEST_LIBS)
%C%_infinity_test_SOURCES = %D%/infinity_test.c %D%/infinity_util.h %D%/golden_tap.c
%C%_infinity_test_CPPFLAGS = $(CF_TEST_CPPFLAGS)
%C%_infinity_test_LDADD = $(CF_MODELS_TEST_LIBS)
%C%_infinity_bits_test_SOURCES = %D%/infinity_bits_test.c %D%/infinity_util.h %D%/golden_tap.c
%C%_infinity_bits_test_CPPFLAGS = $(CF_TEST_CPPFLAGS)
%C%_infinity_bits_test_LDADD = $(CF_MODELS_TEST_LIBS)
%C%_infinity_files_test_SOURCES = %D%/infinity_files_test.c %D%/golden_tap.c
%C%_infinity_files_test_CPPFLAGS = $(CF_TEST_CPPFLAGS)
%C%_infinity_files_test_LDADD = $(CF_MODELS_TEST_LIBS)

%C%_infinity_hold_test_SOURCES = %D%/infinity_hold_test.c %D%/infinity_util.h \
	%D%/golden_tap.c
%C%_infinity_hold_test_CPPFLAGS = $(CF_TEST_CPPFLAGS)
%C%_infinity_hold_test_LDADD = $(CF_MODELS_TEST_LIBS)
%C%_infinity_approx_test_SOURCES = %D%/infinity_approx_test.c %D%/infinity_util.h \
	%D%/golden_tap.c
%C%_infinity_approx_test_CPPFLAGS = $(CF_TEST_CPPFLAGS)
%C%_infinity_approx_test_LDADD = $(CF_MODELS_TEST_LIBS)
%C%_infinity_work_test_SOURCES = %D%/infinity_work_test.c %D%/infinity_util.h \
	%D%/golden_tap.c
%C%_infinity_work_test_CPPFLAGS = $(CF_TEST_CPPFLAGS)
%C%_infinity_work_test_LDADD = $(CF_MODELS_TEST_LIBS)

check_PROGRAMS += %D%/infinity_nomem_test
TESTS += %D%/infinity_nomem_test
%C%_infinity_nomem_test_SOURCES = %D%/infinity_nomem_test.c %D%/nomem.h %D%/golden_tap.c
%C%_infinity_nomem_test_CPPFLAGS = $(CF_TEST_CPPFLAGS)
%C%_infinity_nomem_test_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=aligned_alloc
%C%_infinity_nomem_test_LDADD = $(CF_MODELS_TEST_LIBS)

# Key lists, geometries and detection, of models/ and textenc/.
check_PROGRAMS += %D%/keys_test %D%/detect_test
TESTS += %D%/keys_test %D%/detect_test
%C%_keys_test_SOURCES = %D%/keys_test.c %D%/golden_tap.c
nodist_EXTRA_%C%_keys_test_SOURCES = dummy.cxx
%C%_keys_test_CPPFLAGS = $(CF_TEST_CPPFLAGS)
%C%_keys_test_LDADD = %D%/libmodelsutil.a %D%/libgoldeninfinity.a %D%/libweightsutil.a \
	$(CF_ENGINE_LIBS) $(CMOCKA_LIBS)
%C%_detect_test_SOURCES = %D%/detect_test.c
nodist_EXTRA_%C%_detect_test_SOURCES = dummy.cxx
%C%_detect_test_CPPFLAGS = $(CF_TEST_CPPFLAGS)
%C%_detect_test_LDADD = $(CF_ENGINE_LIBS) $(CMOCKA_LIBS)

check_PROGRAMS += %D%/fuzz/replay_detect
TESTS += %D%/fuzz/replay_detect
%C%_fuzz_replay_detect_SOURCES = %D%/fuzz/fuzz_detect.c %D%/fuzz/fuzz.h %D%/fuzz/replay.c
nodist_EXTRA_%C%_fuzz_replay_detect_SOURCES = dummy.cxx
%C%_fuzz_replay_detect_CPPFLAGS = $(AM_CPPFLAGS) -DCF_FUZZ_CORPUS='"detect"'
%C%_fuzz_replay_detect_LDADD = $(CF_ENGINE_LIBS)

# The arithmetic of an image.
check_PROGRAMS += %D%/work_test
TESTS += %D%/work_test
%C%_work_test_SOURCES = %D%/work_test.c
nodist_EXTRA_%C%_work_test_SOURCES = dummy.cxx
%C%_work_test_CPPFLAGS = $(CF_TEST_CPPFLAGS)
%C%_work_test_LDADD = $(CF_ENGINE_LIBS) $(CMOCKA_LIBS)
