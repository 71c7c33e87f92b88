# tests of jobs/
check_LIBRARIES += %D%/libqueueutil.a
%C%_libqueueutil_a_SOURCES = %D%/queue_util.c %D%/queue_util.h
%C%_libqueueutil_a_CPPFLAGS = $(CF_TEST_CPPFLAGS)

CF_QUEUE_TEST_LIBS = %D%/libqueueutil.a $(CF_JOBS_LIBS) $(CMOCKA_LIBS)

check_PROGRAMS += %D%/queue_test %D%/queue_open_test %D%/reap_test %D%/import_test %D%/recipe_test
TESTS += %D%/queue_test %D%/queue_open_test %D%/reap_test %D%/import_test %D%/recipe_test
%C%_queue_test_SOURCES = %D%/queue_test.c
%C%_queue_test_CPPFLAGS = $(CF_TEST_CPPFLAGS)
%C%_queue_test_LDADD = $(CF_QUEUE_TEST_LIBS)
%C%_queue_open_test_SOURCES = %D%/queue_open_test.c
%C%_queue_open_test_CPPFLAGS = $(CF_TEST_CPPFLAGS)
%C%_queue_open_test_LDADD = $(CF_QUEUE_TEST_LIBS)
%C%_reap_test_SOURCES = %D%/reap_test.c
%C%_reap_test_CPPFLAGS = $(CF_TEST_CPPFLAGS)
%C%_reap_test_LDADD = $(CF_QUEUE_TEST_LIBS)
check_PROGRAMS += %D%/queue_where_test %D%/queue_tars_test %D%/queue_wait_test \
	%D%/queue_migrate_test %D%/claimers_test
TESTS += %D%/queue_where_test %D%/queue_tars_test %D%/queue_wait_test \
	%D%/queue_migrate_test %D%/claimers_test
%C%_queue_where_test_SOURCES = %D%/queue_where_test.c
%C%_queue_where_test_CPPFLAGS = $(CF_TEST_CPPFLAGS)
%C%_queue_where_test_LDADD = $(CF_QUEUE_TEST_LIBS)
%C%_queue_tars_test_SOURCES = %D%/queue_tars_test.c
%C%_queue_tars_test_CPPFLAGS = $(CF_TEST_CPPFLAGS)
%C%_queue_tars_test_LDADD = $(CF_QUEUE_TEST_LIBS)
%C%_queue_wait_test_SOURCES = %D%/queue_wait_test.c
%C%_queue_wait_test_CPPFLAGS = $(CF_TEST_CPPFLAGS)
%C%_queue_wait_test_LDADD = $(CF_QUEUE_TEST_LIBS)
%C%_queue_migrate_test_SOURCES = %D%/queue_migrate_test.c
%C%_queue_migrate_test_CPPFLAGS = $(CF_TEST_CPPFLAGS)
%C%_queue_migrate_test_LDADD = $(CF_QUEUE_TEST_LIBS)
%C%_claimers_test_SOURCES = %D%/claimers_test.c
%C%_claimers_test_CPPFLAGS = $(CF_TEST_CPPFLAGS)
%C%_claimers_test_LDADD = $(CF_QUEUE_TEST_LIBS)
EXTRA_DIST += %D%/data/queue-1000.sql
%C%_recipe_test_SOURCES = %D%/recipe_test.c
%C%_recipe_test_CPPFLAGS = $(CF_TEST_CPPFLAGS)
%C%_recipe_test_LDADD = $(CF_JOBS_LIBS) $(CMOCKA_LIBS)
%C%_import_test_SOURCES = %D%/import_test.c
%C%_import_test_CPPFLAGS = $(CF_TEST_CPPFLAGS)
%C%_import_test_LDADD = $(CF_JOBS_LIBS) $(CMOCKA_LIBS)
EXTRA_DIST += %D%/data/README.md %D%/data/PartiPrompts.tsv
dist_noinst_SCRIPTS += %D%/cli/jobs_usage.sh %D%/cli/jobs_flow.sh %D%/cli/jobs_man.sh
EXTRA_DIST += %D%/cli/jobs_test_lib.sh
TESTS += %D%/cli/jobs_usage.sh %D%/cli/jobs_flow.sh %D%/cli/jobs_man.sh
dist_noinst_SCRIPTS += %D%/cli/upkeep.sh %D%/cli/status.sh %D%/cli/tables.sh %D%/cli/completion.sh
TESTS += %D%/cli/upkeep.sh %D%/cli/status.sh %D%/cli/tables.sh %D%/cli/completion.sh

check_PROGRAMS += %D%/jobs_nomem_test
TESTS += %D%/jobs_nomem_test
%C%_jobs_nomem_test_SOURCES = %D%/jobs_nomem_test.c %D%/nomem.h %D%/nomem_json.h
%C%_jobs_nomem_test_CPPFLAGS = $(CF_TEST_CPPFLAGS)
%C%_jobs_nomem_test_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=aligned_alloc,--wrap=malloc
%C%_jobs_nomem_test_LDADD = $(CF_JOBS_LIBS) $(CMOCKA_LIBS)

check_PROGRAMS += %D%/cache_test
TESTS += %D%/cache_test
%C%_cache_test_SOURCES = %D%/cache_test.c
%C%_cache_test_CPPFLAGS = $(CF_TEST_CPPFLAGS)
%C%_cache_test_LDADD = $(CF_JOBS_LIBS) $(CMOCKA_LIBS)
%C%_cache_test_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=cf_fs_shared

check_PROGRAMS += %D%/history_test
TESTS += %D%/history_test
%C%_history_test_SOURCES = %D%/history_test.c
%C%_history_test_CPPFLAGS = $(CF_TEST_CPPFLAGS)
%C%_history_test_LDADD = $(CF_QUEUE_TEST_LIBS)
check_PROGRAMS += %D%/shard_test %D%/merge_test %D%/rank_test
TESTS += %D%/shard_test %D%/merge_test %D%/rank_test %D%/cli/shards.sh
%C%_shard_test_SOURCES = %D%/shard_test.c %D%/shard_util.h
%C%_shard_test_CPPFLAGS = $(CF_TEST_CPPFLAGS)
%C%_shard_test_LDADD = $(CF_QUEUE_TEST_LIBS)
%C%_merge_test_SOURCES = %D%/merge_test.c %D%/shard_util.h
%C%_merge_test_CPPFLAGS = $(CF_TEST_CPPFLAGS)
%C%_merge_test_LDADD = $(CF_QUEUE_TEST_LIBS)
%C%_rank_test_SOURCES = %D%/rank_test.c
%C%_rank_test_CPPFLAGS = $(CF_TEST_CPPFLAGS)
%C%_rank_test_LDADD = $(CF_JOBS_LIBS) $(CMOCKA_LIBS)
dist_noinst_SCRIPTS += %D%/cli/shards.sh
