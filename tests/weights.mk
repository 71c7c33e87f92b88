# tests of weights/
check_LIBRARIES += %D%/libweightsutil.a
%C%_libweightsutil_a_SOURCES = %D%/weights_util.c %D%/weights_util.h
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

check_PROGRAMS += %D%/weights_nomem_test
TESTS += %D%/weights_nomem_test
%C%_weights_nomem_test_SOURCES = %D%/weights_nomem_test.c
%C%_weights_nomem_test_CPPFLAGS = $(CF_TEST_CPPFLAGS)
%C%_weights_nomem_test_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=aligned_alloc
%C%_weights_nomem_test_LDADD = $(CF_WEIGHTS_TEST_LIBS)
