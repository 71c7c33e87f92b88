noinst_LIBRARIES += %D%/libtextenc.a
%C%_libtextenc_a_SOURCES = \
	%D%/bpe.c %D%/bpe.h \
	%D%/bpe_files.c %D%/bpe_files.h \
	%D%/pretok.c %D%/pretok.h \
	%D%/spm.cc %D%/spm.h \
	%D%/textenc.h \
	%D%/tokenizer.c %D%/tokenizer.h \
	%D%/unicode.c %D%/unicode.h \
	%D%/vocab.c %D%/vocab.h
%C%_libtextenc_a_CPPFLAGS = $(AM_CPPFLAGS) $(SPM_CFLAGS)
