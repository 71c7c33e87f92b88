# tests of base/
CF_BASE_TESTS = %D%/base_test %D%/cli_test
check_PROGRAMS += $(CF_BASE_TESTS)
TESTS += $(CF_BASE_TESTS)
%C%_base_test_SOURCES = %D%/base_test.c
%C%_base_test_CPPFLAGS = $(CF_TEST_CPPFLAGS)
%C%_base_test_LDADD = $(CF_BASE_LIBS) $(CMOCKA_LIBS)
%C%_cli_test_SOURCES = %D%/cli_test.c
%C%_cli_test_CPPFLAGS = $(CF_TEST_CPPFLAGS)
%C%_cli_test_LDADD = $(CF_BASE_LIBS) $(CMOCKA_LIBS)

check_PROGRAMS += %D%/json_test
TESTS += %D%/json_test
%C%_json_test_SOURCES = %D%/json_test.c %D%/nomem.h %D%/nomem_json.h
%C%_json_test_CPPFLAGS = $(CF_TEST_CPPFLAGS)
%C%_json_test_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=aligned_alloc,--wrap=malloc
%C%_json_test_LDADD = $(CF_BASE_LIBS) $(CMOCKA_LIBS)

check_PROGRAMS += %D%/duration_test
TESTS += %D%/duration_test
%C%_duration_test_SOURCES = %D%/duration_test.c
%C%_duration_test_CPPFLAGS = $(CF_TEST_CPPFLAGS)
%C%_duration_test_LDADD = $(CF_BASE_LIBS) $(CMOCKA_LIBS)

check_PROGRAMS += %D%/lanczos_test
TESTS += %D%/lanczos_test
%C%_lanczos_test_SOURCES = %D%/lanczos_test.c
%C%_lanczos_test_CPPFLAGS = $(CF_TEST_CPPFLAGS)
%C%_lanczos_test_LDADD = $(CF_BASE_LIBS) $(CMOCKA_LIBS) -lm

check_PROGRAMS += %D%/topology_test
TESTS += %D%/topology_test
%C%_topology_test_SOURCES = %D%/topology_test.c
%C%_topology_test_CPPFLAGS = $(CF_TEST_CPPFLAGS)
%C%_topology_test_LDADD = $(CF_BASE_LIBS) $(CMOCKA_LIBS)
