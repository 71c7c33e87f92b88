# tests of weights/
check_LIBRARIES += %D%/libweightsutil.a
%C%_libweightsutil_a_SOURCES = %D%/retype.c %D%/retype.h %D%/weights_util.c \
	%D%/weights_util.h
%C%_libweightsutil_a_CPPFLAGS = $(CF_TEST_CPPFLAGS)

CF_WEIGHTS_TEST_LIBS = %D%/libweightsutil.a $(CF_WEIGHTS_LIBS) $(CMOCKA_LIBS)

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

check_PROGRAMS += %D%/pack_file_test
TESTS += %D%/pack_file_test
%C%_pack_file_test_SOURCES = %D%/pack_file_test.c
%C%_pack_file_test_CPPFLAGS = $(CF_TEST_CPPFLAGS)
%C%_pack_file_test_LDADD = $(CF_WEIGHTS_TEST_LIBS)

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

check_PROGRAMS += %D%/pickle_test
TESTS += %D%/pickle_test
%C%_pickle_test_SOURCES = %D%/pickle_test.c
%C%_pickle_test_CPPFLAGS = $(CF_TEST_CPPFLAGS)
%C%_pickle_test_LDADD = $(CF_WEIGHTS_TEST_LIBS)

check_PROGRAMS += %D%/pth_test
TESTS += %D%/pth_test
%C%_pth_test_SOURCES = %D%/pth_test.c
%C%_pth_test_CPPFLAGS = $(CF_TEST_CPPFLAGS)
%C%_pth_test_LDADD = $(CF_WEIGHTS_TEST_LIBS)

check_PROGRAMS += %D%/model_spec_test
TESTS += %D%/model_spec_test
%C%_model_spec_test_SOURCES = %D%/model_spec_test.c
%C%_model_spec_test_CPPFLAGS = $(CF_TEST_CPPFLAGS)
%C%_model_spec_test_LDADD = $(CF_WEIGHTS_TEST_LIBS)

# Fresh files of the installed torch; skipped without.
dist_noinst_SCRIPTS += %D%/pth_torch.sh
EXTRA_DIST += %D%/st_read.py
TESTS += %D%/pth_torch.sh
%D%/pth_torch.log: %D%/pth_test$(EXEEXT) %D%/st_write_test$(EXEEXT)

check_PROGRAMS += %D%/source_test
TESTS += %D%/source_test
%C%_source_test_SOURCES = %D%/source_test.c
%C%_source_test_CPPFLAGS = $(CF_TEST_CPPFLAGS)
%C%_source_test_LDADD = $(CF_WEIGHTS_TEST_LIBS)

check_PROGRAMS += %D%/weights_nomem_test
TESTS += %D%/weights_nomem_test
%C%_weights_nomem_test_SOURCES = %D%/weights_nomem_test.c %D%/nomem.h %D%/nomem_json.h
%C%_weights_nomem_test_CPPFLAGS = $(CF_TEST_CPPFLAGS)
%C%_weights_nomem_test_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=aligned_alloc,--wrap=malloc
%C%_weights_nomem_test_LDADD = $(CF_WEIGHTS_TEST_LIBS)

# Fuzz targets; each corpus is replayed, with mutations, by a small driver.
CF_FUZZ_WEIGHTS_LIBS = $(CF_WEIGHTS_LIBS)
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
