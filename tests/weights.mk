# tests of weights/
check_LIBRARIES += %D%/libweightsutil.a
%C%_libweightsutil_a_SOURCES = %D%/retype.c %D%/retype.h %D%/weights_util.c \
	%D%/weights_util.h
%C%_libweightsutil_a_CPPFLAGS = $(CF_TEST_CPPFLAGS)

CF_WEIGHTS_TEST_LIBS = %D%/libweightsutil.a weights/libweights.a $(CF_BASE_LIBS) \
	$(CMOCKA_LIBS)

check_PROGRAMS += %D%/safetensors_test
TESTS += %D%/safetensors_test
%C%_safetensors_test_SOURCES = %D%/safetensors_test.c
%C%_safetensors_test_CPPFLAGS = $(CF_TEST_CPPFLAGS)
%C%_safetensors_test_LDADD = $(CF_WEIGHTS_TEST_LIBS)

check_PROGRAMS += %D%/checkpoint_test
TESTS += %D%/checkpoint_test
%C%_checkpoint_test_SOURCES = %D%/checkpoint_test.c
%C%_checkpoint_test_CPPFLAGS = $(CF_TEST_CPPFLAGS)
%C%_checkpoint_test_LDADD = $(CF_WEIGHTS_TEST_LIBS)

check_PROGRAMS += %D%/bind_test
TESTS += %D%/bind_test
%C%_bind_test_SOURCES = %D%/bind_test.c
%C%_bind_test_CPPFLAGS = $(CF_TEST_CPPFLAGS)
%C%_bind_test_LDADD = $(CF_WEIGHTS_TEST_LIBS)

check_PROGRAMS += %D%/model_test
TESTS += %D%/model_test
%C%_model_test_SOURCES = %D%/model_test.c
%C%_model_test_CPPFLAGS = $(CF_TEST_CPPFLAGS)
%C%_model_test_LDADD = $(CF_WEIGHTS_TEST_LIBS)

check_PROGRAMS += %D%/st_write_test
TESTS += %D%/st_write_test
%C%_st_write_test_SOURCES = %D%/st_write_test.c
%C%_st_write_test_CPPFLAGS = $(CF_TEST_CPPFLAGS)
%C%_st_write_test_LDADD = $(CF_WEIGHTS_TEST_LIBS)

check_PROGRAMS += %D%/weights_nomem_test
TESTS += %D%/weights_nomem_test
%C%_weights_nomem_test_SOURCES = %D%/weights_nomem_test.c %D%/nomem.h
%C%_weights_nomem_test_CPPFLAGS = $(CF_TEST_CPPFLAGS)
%C%_weights_nomem_test_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=aligned_alloc
%C%_weights_nomem_test_LDADD = $(CF_WEIGHTS_TEST_LIBS)

# Fuzz targets; each corpus is replayed, with mutations, by a small driver.
CF_FUZZ_WEIGHTS_LIBS = weights/libweights.a $(CF_BASE_LIBS)
EXTRA_DIST += %D%/fuzz/corpus %D%/fuzz/seed.py

check_PROGRAMS += %D%/fuzz/replay_safetensors
TESTS += %D%/fuzz/replay_safetensors
%C%_fuzz_replay_safetensors_SOURCES = %D%/fuzz/fuzz_safetensors.c %D%/fuzz/fuzz.h \
	%D%/fuzz/replay.c
%C%_fuzz_replay_safetensors_CPPFLAGS = $(AM_CPPFLAGS) -DCF_FUZZ_CORPUS='"safetensors"'
%C%_fuzz_replay_safetensors_LDADD = $(CF_FUZZ_WEIGHTS_LIBS)

check_PROGRAMS += %D%/fuzz/replay_index
TESTS += %D%/fuzz/replay_index
%C%_fuzz_replay_index_SOURCES = %D%/fuzz/fuzz_index.c %D%/fuzz/fuzz.h %D%/fuzz/replay.c
%C%_fuzz_replay_index_CPPFLAGS = $(AM_CPPFLAGS) -DCF_FUZZ_CORPUS='"index"'
%C%_fuzz_replay_index_LDADD = $(CF_FUZZ_WEIGHTS_LIBS)

check_PROGRAMS += %D%/fuzz/replay_manifest
TESTS += %D%/fuzz/replay_manifest
%C%_fuzz_replay_manifest_SOURCES = %D%/fuzz/fuzz_manifest.c %D%/fuzz/fuzz.h \
	%D%/fuzz/replay.c
%C%_fuzz_replay_manifest_CPPFLAGS = $(AM_CPPFLAGS) -DCF_FUZZ_CORPUS='"manifest"'
%C%_fuzz_replay_manifest_LDADD = $(CF_FUZZ_WEIGHTS_LIBS)
