# tests of textenc/
# The text half of the golden checker; golden_report comes from the program that links it.
check_LIBRARIES += %D%/libgoldentext.a
%C%_libgoldentext_a_SOURCES = %D%/golden.h %D%/golden_textenc.c %D%/golden_textenc.h \
	%D%/golden_tok.c %D%/golden_t5_tok.c %D%/golden_encoder.c
CF_TEXTENC_LIBS = textenc/libtextenc.a $(SPM_LIBS) $(CF_DNN_LIBS) $(CF_WEIGHTS_LIBS)
CF_TEXTENC_TEST_LIBS = tests/libgoldentext.a $(CF_TEXTENC_LIBS) $(CMOCKA_LIBS)

cf_textenc_tests = %D%/bpe_test %D%/spm_test %D%/qwen2_test %D%/qwen2_naive_test \
	%D%/t5_test %D%/t5_prompt_test %D%/textenc_test %D%/textenc_hold_test \
	%D%/textenc_nomem_test
check_PROGRAMS += $(cf_textenc_tests)
TESTS += $(cf_textenc_tests)
# The real Qwen3 tokenizer, where npm can bring it: kept in the build tree, never here.
dist_noinst_SCRIPTS += %D%/qwen_real.sh
TESTS += %D%/qwen_real.sh
%D%/qwen_real.log: %D%/check-golden$(EXEEXT)
distclean-local:
	rm -rf npm-cache
# A program that is linked with spm.o needs the C++ linker: automake takes it when it
# believes that one source is C++.
%C%_bpe_test_SOURCES = %D%/bpe_test.c %D%/golden_tap.c
nodist_EXTRA_%C%_bpe_test_SOURCES = dummy.cxx
%C%_bpe_test_CPPFLAGS = $(CF_TEST_CPPFLAGS)
%C%_bpe_test_LDADD = $(CF_TEXTENC_TEST_LIBS)
%C%_spm_test_SOURCES = %D%/spm_test.c %D%/golden_tap.c
nodist_EXTRA_%C%_spm_test_SOURCES = dummy.cxx
%C%_spm_test_CPPFLAGS = $(CF_TEST_CPPFLAGS)
%C%_spm_test_LDADD = $(CF_TEXTENC_TEST_LIBS)
%C%_qwen2_test_SOURCES = %D%/qwen2_test.c %D%/golden_tap.c
nodist_EXTRA_%C%_qwen2_test_SOURCES = dummy.cxx
%C%_qwen2_test_CPPFLAGS = $(CF_TEST_CPPFLAGS)
%C%_qwen2_test_LDADD = $(CF_TEXTENC_TEST_LIBS)
%C%_t5_test_SOURCES = %D%/t5_test.c %D%/golden_tap.c
nodist_EXTRA_%C%_t5_test_SOURCES = dummy.cxx
%C%_t5_test_CPPFLAGS = $(CF_TEST_CPPFLAGS)
%C%_t5_test_LDADD = tests/libweightsutil.a $(CF_TEXTENC_TEST_LIBS)
%C%_t5_prompt_test_SOURCES = %D%/t5_prompt_test.c %D%/textenc_paths.h
nodist_EXTRA_%C%_t5_prompt_test_SOURCES = dummy.cxx
%C%_t5_prompt_test_CPPFLAGS = $(CF_TEST_CPPFLAGS)
%C%_t5_prompt_test_LDADD = $(CF_TEXTENC_TEST_LIBS)
%C%_textenc_hold_test_SOURCES = %D%/textenc_hold_test.c %D%/textenc_paths.h
nodist_EXTRA_%C%_textenc_hold_test_SOURCES = dummy.cxx
%C%_textenc_hold_test_CPPFLAGS = $(CF_TEST_CPPFLAGS)
%C%_textenc_hold_test_LDADD = tests/libweightsutil.a $(CF_TEXTENC_TEST_LIBS)
%C%_textenc_test_SOURCES = %D%/textenc_test.c %D%/textenc_paths.h
nodist_EXTRA_%C%_textenc_test_SOURCES = dummy.cxx
%C%_textenc_test_CPPFLAGS = $(CF_TEST_CPPFLAGS)
%C%_textenc_test_LDADD = $(CF_TEXTENC_TEST_LIBS)
%C%_qwen2_naive_test_SOURCES = %D%/qwen2_naive_test.c
nodist_EXTRA_%C%_qwen2_naive_test_SOURCES = dummy.cxx
%C%_qwen2_naive_test_CPPFLAGS = $(CF_TEST_CPPFLAGS)
%C%_qwen2_naive_test_LDADD = $(CF_TEXTENC_TEST_LIBS)
%C%_textenc_nomem_test_SOURCES = %D%/textenc_nomem_test.c %D%/nomem.h
nodist_EXTRA_%C%_textenc_nomem_test_SOURCES = dummy.cxx
%C%_textenc_nomem_test_CPPFLAGS = $(CF_TEST_CPPFLAGS)
%C%_textenc_nomem_test_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=aligned_alloc
%C%_textenc_nomem_test_LDADD = $(CF_TEXTENC_TEST_LIBS)

# Fuzz targets; tests/fuzz/fuzz.h says how to search for new inputs.
cf_textenc_fuzz = %D%/fuzz/replay_tokenizer %D%/fuzz/replay_text %D%/fuzz/replay_qwen2_config
check_PROGRAMS += $(cf_textenc_fuzz)
TESTS += $(cf_textenc_fuzz)
EXTRA_DIST += %D%/fuzz/seed_textenc.py
CF_FUZZ_TEXTENC_LIBS = textenc/libtextenc.a $(CF_WEIGHTS_LIBS)
%C%_fuzz_replay_tokenizer_SOURCES = %D%/fuzz/fuzz_tokenizer.c %D%/fuzz/fuzz.h %D%/fuzz/replay.c
%C%_fuzz_replay_tokenizer_CPPFLAGS = $(AM_CPPFLAGS) -DCF_FUZZ_CORPUS='"tokenizer"'
%C%_fuzz_replay_tokenizer_LDADD = $(CF_FUZZ_TEXTENC_LIBS)
%C%_fuzz_replay_text_SOURCES = %D%/fuzz/fuzz_text.c %D%/fuzz/fuzz.h %D%/fuzz/replay.c
%C%_fuzz_replay_text_CPPFLAGS = $(AM_CPPFLAGS) -DCF_FUZZ_CORPUS='"text"'
%C%_fuzz_replay_text_LDADD = $(CF_FUZZ_TEXTENC_LIBS)
%C%_fuzz_replay_qwen2_config_SOURCES = %D%/fuzz/fuzz_qwen2_config.c %D%/fuzz/fuzz.h %D%/fuzz/replay.c
%C%_fuzz_replay_qwen2_config_CPPFLAGS = $(AM_CPPFLAGS) -DCF_FUZZ_CORPUS='"qwen2_config"'
%C%_fuzz_replay_qwen2_config_LDADD = $(CF_FUZZ_TEXTENC_LIBS)
