noinst_LIBRARIES += %D%/libjobs.a
%C%_libjobs_a_SOURCES =
