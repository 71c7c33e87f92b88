# tests of pipeline/ and of the programs
CF_CLI_TESTS = %D%/cli/kill9.sh %D%/cli/faults.sh %D%/cli/same_bytes.sh %D%/cli/bad_input.sh %D%/cli/signals.sh \
	%D%/cli/pipeline.sh %D%/cli/limits.sh %D%/cli/crew.sh %D%/cli/verify.sh %D%/cli/gallery.sh %D%/cli/rerun.sh %D%/cli/lost.sh \
	%D%/cli/memory.sh %D%/cli/variations.sh %D%/cli/mapped.sh %D%/cli/packed.sh \
	%D%/cli/approx.sh
TESTS += $(CF_CLI_TESTS)
dist_noinst_SCRIPTS += $(CF_CLI_TESTS)
dist_noinst_DATA += %D%/cli/init.sh
$(CF_CLI_TESTS:.sh=.log): cfgen$(EXEEXT) cfgen-batch$(EXEEXT) cfgen-jobs$(EXEEXT) cfgen-model$(EXEEXT)

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

check_PROGRAMS += %D%/convert_test
TESTS += %D%/convert_test
%C%_convert_test_SOURCES = %D%/convert_test.c pipeline/convert_pair.c
%C%_convert_test_CPPFLAGS = $(CF_TEST_CPPFLAGS)
%C%_convert_test_LDADD = %D%/libweightsutil.a $(CF_PIPELINE_LIBS) $(CMOCKA_LIBS)
nodist_EXTRA_%C%_convert_test_SOURCES = dummy.cxx

# what a converter gets and makes
check_PROGRAMS += %D%/model_tool
%C%_model_tool_SOURCES = %D%/model_tool.c
%C%_model_tool_LDADD = $(CF_ENGINE_LIBS)
nodist_EXTRA_%C%_model_tool_SOURCES = dummy.cxx
%D%/cli/model_convert.log: cfgen$(EXEEXT) cfgen-batch$(EXEEXT) cfgen-jobs$(EXEEXT) cfgen-model$(EXEEXT) \
	%D%/model_tool$(EXEEXT) %D%/check-golden$(EXEEXT)
TESTS += %D%/cli/model_convert.sh
dist_noinst_SCRIPTS += %D%/cli/model_convert.sh
# What a model is, and whether it is whole.
TESTS += %D%/cli/model_inspect.sh
dist_noinst_SCRIPTS += %D%/cli/model_inspect.sh
%D%/cli/model_inspect.log: cfgen-model$(EXEEXT) %D%/model_tool$(EXEEXT)

check_PROGRAMS += %D%/needs_test
TESTS += %D%/needs_test
%C%_needs_test_SOURCES = %D%/needs_test.c
%C%_needs_test_CPPFLAGS = $(CF_TEST_CPPFLAGS)
%C%_needs_test_LDADD = $(CF_PIPELINE_LIBS) $(CMOCKA_LIBS)
nodist_EXTRA_%C%_needs_test_SOURCES = dummy.cxx

check_PROGRAMS += %D%/groups_test
TESTS += %D%/groups_test
%C%_groups_test_SOURCES = %D%/groups_test.c
%C%_groups_test_CPPFLAGS = $(CF_TEST_CPPFLAGS)
%C%_groups_test_LDADD = pipeline/libpipeline.a $(CF_BASE_LIBS) $(CMOCKA_LIBS)

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

# models made again in other types, and made up
CF_MAKE_TESTS = %D%/cli/model_quantize.sh %D%/cli/model_synth.sh
TESTS += $(CF_MAKE_TESTS)
dist_noinst_SCRIPTS += $(CF_MAKE_TESTS)
$(CF_MAKE_TESTS:.sh=.log): cfgen$(EXEEXT) cfgen-model$(EXEEXT)

check_PROGRAMS += %D%/synth_test
TESTS += %D%/synth_test
%C%_synth_test_SOURCES = %D%/synth_test.c pipeline/convert_out.c pipeline/out_copy.c \
	pipeline/synth_law.c pipeline/synth_model.c pipeline/synth_part.c
%C%_synth_test_CPPFLAGS = $(CF_TEST_CPPFLAGS)
%C%_synth_test_LDADD = $(CF_PIPELINE_LIBS) $(CMOCKA_LIBS)
nodist_EXTRA_%C%_synth_test_SOURCES = dummy.cxx

# cfgen-bench: that it runs, never how fast.
TESTS += %D%/cli/bench.sh %D%/peer.sh
dist_noinst_SCRIPTS += %D%/cli/bench.sh %D%/peer.sh
%D%/cli/bench.log: cfgen-bench$(EXEEXT) cfgen-batch$(EXEEXT) cfgen-jobs$(EXEEXT)
