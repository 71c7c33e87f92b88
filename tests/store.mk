# tests of store/
check_PROGRAMS += %D%/image_read_test %D%/meta_test %D%/sink_test %D%/store_tool \
	%D%/sweep_test %D%/tar_fail_test %D%/tar_test %D%/webp_test %D%/xmp_test
TESTS += %D%/cli/manifest_man.sh %D%/image_read_test %D%/meta_test %D%/sink_test \
	%D%/store_readers.sh %D%/sweep_test %D%/tar_fail_test %D%/tar_test %D%/webp_test \
	%D%/xmp_test
dist_noinst_SCRIPTS += %D%/cli/manifest_man.sh %D%/store_readers.sh

# The system calls that tests/store_calls.h lets fail.
cf_store_wraps = -Wl,--wrap=write -Wl,--wrap=fdatasync -Wl,--wrap=fsync -Wl,--wrap=close \
	-Wl,--wrap=renameat -Wl,--wrap=openat -Wl,--wrap=mkdirat -Wl,--wrap=flock \
	-Wl,--wrap=pwrite -Wl,--wrap=ftruncate

%C%_image_read_test_SOURCES = %D%/image_read_test.c %D%/store_calls.h %D%/tar_util.h
%C%_image_read_test_CPPFLAGS = $(CF_TEST_CPPFLAGS)
%C%_image_read_test_LDFLAGS = $(AM_LDFLAGS) $(cf_store_wraps)
%C%_image_read_test_LDADD = $(CF_STORE_LIBS) $(CMOCKA_LIBS)

%C%_meta_test_SOURCES = %D%/meta_test.c %D%/store_fail.h
%C%_meta_test_CPPFLAGS = $(CF_TEST_CPPFLAGS) $(WEBPMUX_CFLAGS)
%C%_meta_test_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=aligned_alloc
%C%_meta_test_LDADD = $(CF_STORE_LIBS) $(CMOCKA_LIBS)

%C%_sink_test_SOURCES = %D%/sink_test.c %D%/store_calls.h %D%/store_fail.h
%C%_sink_test_CPPFLAGS = $(CF_TEST_CPPFLAGS)
%C%_sink_test_LDFLAGS = $(AM_LDFLAGS) $(cf_store_wraps) -Wl,--wrap=aligned_alloc
%C%_sink_test_LDADD = $(CF_STORE_LIBS) $(CMOCKA_LIBS) -lpthread

%C%_store_tool_SOURCES = %D%/store_tool.c
%C%_store_tool_LDADD = $(CF_STORE_LIBS)

%C%_sweep_test_SOURCES = %D%/sweep_test.c %D%/store_calls.h
%C%_sweep_test_CPPFLAGS = $(CF_TEST_CPPFLAGS)
%C%_sweep_test_LDFLAGS = $(AM_LDFLAGS) $(cf_store_wraps)
%C%_sweep_test_LDADD = $(CF_STORE_LIBS) $(CMOCKA_LIBS)

%C%_tar_fail_test_SOURCES = %D%/tar_fail_test.c %D%/store_calls.h %D%/store_fail.h \
	%D%/tar_util.h
%C%_tar_fail_test_CPPFLAGS = $(CF_TEST_CPPFLAGS)
%C%_tar_fail_test_LDFLAGS = $(AM_LDFLAGS) $(cf_store_wraps) -Wl,--wrap=aligned_alloc
%C%_tar_fail_test_LDADD = $(CF_STORE_LIBS) $(CMOCKA_LIBS)

%C%_tar_test_SOURCES = %D%/tar_test.c %D%/store_calls.h %D%/tar_util.h
%C%_tar_test_CPPFLAGS = $(CF_TEST_CPPFLAGS)
%C%_tar_test_LDFLAGS = $(AM_LDFLAGS) $(cf_store_wraps)
%C%_tar_test_LDADD = $(CF_STORE_LIBS) $(CMOCKA_LIBS)

%C%_webp_test_SOURCES = %D%/webp_test.c %D%/store_fail.h
%C%_webp_test_CPPFLAGS = $(CF_TEST_CPPFLAGS)
%C%_webp_test_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=aligned_alloc
%C%_webp_test_LDADD = $(CF_STORE_LIBS) $(CMOCKA_LIBS)

%C%_xmp_test_SOURCES = %D%/xmp_test.c
%C%_xmp_test_CPPFLAGS = $(CF_TEST_CPPFLAGS)
%C%_xmp_test_LDADD = $(CF_STORE_LIBS) $(CMOCKA_LIBS)
