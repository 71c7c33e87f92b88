# tests of dnn/
check_PROGRAMS += %D%/checkkern
TESTS += %D%/checkkern
%C%_checkkern_SOURCES = %D%/kern_check.c
%C%_checkkern_LDADD = $(CF_DNN_LIBS) $(CF_BASE_LIBS)
