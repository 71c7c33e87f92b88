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

CF_FAULT_QUICK = %D%/fault/power.sh %D%/fault/kill.sh
TESTS += $(CF_FAULT_QUICK)
dist_noinst_SCRIPTS += $(CF_FAULT_QUICK)
dist_noinst_DATA += %D%/fault/recorded.sh
$(CF_FAULT_QUICK:.sh=.log): cfgen$(EXEEXT) cfgen-batch$(EXEEXT) cfgen-jobs$(EXEEXT) $(CF_FAULT_TOOLS)
