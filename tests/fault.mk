# Faults injected on purpose (the list is in fault/README.md). make check-fault runs all of
# them, in a build of its own where this one has no fault points; the quick ones are part
# of make check too.
CF_FAULT_TOOLS = %D%/fault/record.so %D%/fault/replay
check_PROGRAMS += $(CF_FAULT_TOOLS)
%C%_fault_record_so_SOURCES = %D%/fault/record.c %D%/fault/record.h
%C%_fault_record_so_CFLAGS = $(CF_STD) $(CF_WARN) $(CF_CWARN) -fPIC -Wno-pedantic
%C%_fault_record_so_LDFLAGS = -shared
%C%_fault_record_so_LDADD = -ldl
%C%_fault_replay_SOURCES = %D%/fault/replay.c %D%/fault/record.h

CF_FAULT_QUICK = %D%/fault/kill.sh %D%/fault/power.sh %D%/fault/stages.sh %D%/fault/disk.sh \
	%D%/fault/weights.sh %D%/fault/prompts.sh %D%/fault/clock.sh %D%/fault/streams.sh %D%/fault/sick.sh \
	%D%/fault/matrix.sh %D%/fault/upgrade.sh
TESTS += $(CF_FAULT_QUICK)
dist_noinst_SCRIPTS += $(CF_FAULT_QUICK)
dist_noinst_DATA += %D%/fault/recorded.sh %D%/fault/README.md
$(CF_FAULT_QUICK:.sh=.log): cfgen$(EXEEXT) cfgen-batch$(EXEEXT) cfgen-jobs$(EXEEXT) $(CF_FAULT_TOOLS)

# Every fault, every place. A build with fault points is made where this one has none.
CF_FAULT_ALL = $(CF_FAULT_QUICK) %D%/cli/kill9.sh %D%/cli/faults.sh %D%/cli/signals.sh %D%/cli/bad_input.sh \
	%D%/cli/same_bytes.sh %D%/cli/crew.sh %D%/cli/shards.sh %D%/queue_test %D%/queue_open_test \
	%D%/queue_wait_test %D%/queue_migrate_test %D%/reap_test %D%/claimers_test %D%/merge_test \
	%D%/tar_test %D%/tar_fail_test %D%/safetensors_test %D%/checkpoint_test %D%/import_test %D%/sampler_test
.PHONY: check-fault
if CF_FAULTS
check-fault: all
	CFGEN_FAULT_EVERY=1; export CFGEN_FAULT_EVERY; $(MAKE) $(AM_MAKEFLAGS) check TESTS='$(CF_FAULT_ALL)'
else
check-fault:
	$(MKDIR_P) build-fault
	cd build-fault && { test -f Makefile || '$(abs_top_srcdir)/configure' --enable-faults CC='$(CC)' CXX='$(CXX)'; }
	cd build-fault && $(MAKE) $(AM_MAKEFLAGS) all && $(MAKE) $(AM_MAKEFLAGS) check-fault
endif
clean-local: clean-fault
clean-fault:
	rm -rf build-fault
