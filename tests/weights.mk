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
