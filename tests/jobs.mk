# tests of jobs/
check_PROGRAMS += %D%/queue_test
TESTS += %D%/queue_test
%C%_queue_test_SOURCES = %D%/queue_test.c
%C%_queue_test_CPPFLAGS = $(CF_TEST_CPPFLAGS)
%C%_queue_test_LDADD = $(CF_JOBS_LIBS) $(CMOCKA_LIBS)
