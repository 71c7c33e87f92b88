noinst_LIBRARIES += %D%/libtextenc.a
%C%_libtextenc_a_SOURCES =
