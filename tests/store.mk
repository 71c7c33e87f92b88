# tests of store/
check_PROGRAMS += %D%/store_tool
%C%_store_tool_SOURCES = %D%/store_tool.c
%C%_store_tool_LDADD = $(CF_STORE_LIBS)
