noinst_LIBRARIES += %D%/libweights.a
%C%_libweights_a_SOURCES =
