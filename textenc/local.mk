noinst_LIBRARIES += %D%/libtextenc.a
%C%_libtextenc_a_SOURCES = \
	%D%/bpe.c %D%/bpe.h \
	%D%/bpe_files.c %D%/bpe_files.h \
	%D%/enc.c %D%/enc.h \
	%D%/encoder.c %D%/encoder.h \
	%D%/known.c %D%/known.h \
	%D%/pretok.c %D%/pretok.h \
	%D%/qwen2.c %D%/qwen2.h \
	%D%/qwen2_config.c %D%/qwen2_config.h \
	%D%/qwen2_keys.c %D%/qwen2_keys.h \
	%D%/qwen2_weights.c %D%/qwen2_weights.h \
	%D%/spm.cc %D%/spm.h \
	%D%/t5.c %D%/t5.h \
	%D%/t5_config.c %D%/t5_config.h \
	%D%/t5_keys.c %D%/t5_keys.h \
	%D%/t5_weights.c %D%/t5_weights.h \
	%D%/textenc.c %D%/textenc.h \
	%D%/tokenizer.c %D%/tokenizer.h \
	%D%/unicode.c %D%/unicode.h \
	%D%/vocab.c %D%/vocab.h
%C%_libtextenc_a_CPPFLAGS = $(AM_CPPFLAGS) $(SPM_CFLAGS)
