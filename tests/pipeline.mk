# tests of pipeline/ and of the programs
CF_CLI_TESTS = %D%/cli/kill9.sh %D%/cli/faults.sh %D%/cli/same_bytes.sh %D%/cli/bad_input.sh %D%/cli/signals.sh \
	%D%/cli/pipeline.sh %D%/cli/limits.sh %D%/cli/crew.sh %D%/cli/verify.sh %D%/cli/gallery.sh %D%/cli/rerun.sh %D%/cli/lost.sh \
	%D%/cli/memory.sh %D%/cli/variations.sh
TESTS += $(CF_CLI_TESTS)
dist_noinst_SCRIPTS += $(CF_CLI_TESTS)
dist_noinst_DATA += %D%/cli/init.sh
$(CF_CLI_TESTS:.sh=.log): cfgen$(EXEEXT) cfgen-batch$(EXEEXT) cfgen-jobs$(EXEEXT)

check_PROGRAMS += %D%/settings_test %D%/finish_test
TESTS += %D%/settings_test %D%/finish_test
%C%_settings_test_SOURCES = %D%/settings_test.c
%C%_settings_test_CPPFLAGS = $(CF_TEST_CPPFLAGS)
%C%_settings_test_LDADD = $(CF_PIPELINE_LIBS) $(CMOCKA_LIBS)
nodist_EXTRA_%C%_settings_test_SOURCES = dummy.cxx
%C%_finish_test_SOURCES = %D%/finish_test.c
%C%_finish_test_CPPFLAGS = $(CF_TEST_CPPFLAGS)
%C%_finish_test_LDADD = $(CF_PIPELINE_LIBS) $(CMOCKA_LIBS)
%C%_finish_test_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=cf_webp_verify
nodist_EXTRA_%C%_finish_test_SOURCES = dummy.cxx

check_PROGRAMS += %D%/budget_test
TESTS += %D%/budget_test
%C%_budget_test_SOURCES = %D%/budget_test.c
%C%_budget_test_CPPFLAGS = $(CF_TEST_CPPFLAGS)
%C%_budget_test_LDADD = pipeline/libpipeline.a $(CF_BASE_LIBS) $(CMOCKA_LIBS)

check_PROGRAMS += %D%/statusfile_test
TESTS += %D%/statusfile_test
%C%_statusfile_test_SOURCES = %D%/statusfile_test.c
%C%_statusfile_test_CPPFLAGS = $(CF_TEST_CPPFLAGS)
%C%_statusfile_test_LDADD = pipeline/libpipeline.a $(CF_BASE_LIBS) $(CMOCKA_LIBS)

check_PROGRAMS += %D%/crew_test
TESTS += %D%/crew_test
%C%_crew_test_SOURCES = %D%/crew_test.c
%C%_crew_test_CPPFLAGS = $(CF_TEST_CPPFLAGS)
%C%_crew_test_LDADD = pipeline/libpipeline.a $(CF_BASE_LIBS) $(CMOCKA_LIBS) -lpthread

check_PROGRAMS += %D%/stages_test
TESTS += %D%/stages_test
%C%_stages_test_SOURCES = %D%/stages_test.c
%C%_stages_test_CPPFLAGS = $(CF_TEST_CPPFLAGS)
%C%_stages_test_LDADD = $(CF_PIPELINE_LIBS) $(CMOCKA_LIBS)
nodist_EXTRA_%C%_stages_test_SOURCES = dummy.cxx

check_PROGRAMS += %D%/room_test
TESTS += %D%/room_test
%C%_room_test_SOURCES = %D%/room_test.c
%C%_room_test_CPPFLAGS = $(CF_TEST_CPPFLAGS)
%C%_room_test_LDADD = $(CF_PIPELINE_LIBS) $(CMOCKA_LIBS)
nodist_EXTRA_%C%_room_test_SOURCES = dummy.cxx
