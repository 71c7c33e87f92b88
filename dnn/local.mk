noinst_LIBRARIES += %D%/libdnn.a
%C%_libdnn_a_SOURCES =
CF_KERN_LIBS =
