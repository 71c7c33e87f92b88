noinst_LIBRARIES += %D%/libdnn.a
%C%_libdnn_a_SOURCES = \
	%D%/attn.c %D%/attn.h \
	%D%/conv.c \
	%D%/cpu.c %D%/cpu.h \
	%D%/dnn.c %D%/dnn.h \
	%D%/groupnorm.c \
	%D%/kern.h %D%/kern_attn.h %D%/kern_c.c %D%/kern_pack.h \
	%D%/kern_panel.h %D%/kern_peak.h %D%/kern_vec.h \
	%D%/kern_wino.h %D%/kern_wino_c.c \
	%D%/kv.c %D%/kv.h \
	%D%/layer.h \
	%D%/linear.c \
	%D%/machine.h \
	%D%/panels.c %D%/panels.h \
	%D%/onednn.c %D%/onednn.h %D%/onednn_api.h \
	%D%/onednn2.c %D%/onednn3.c \
	%D%/onednn_pack.c %D%/onednn_pack.h \
	%D%/ops.c %D%/ops.h \
	%D%/pack_crew.c %D%/pack_crew.h \
	%D%/packs.c %D%/packs.h \
	%D%/peak.c %D%/peak.h \
	%D%/pass.c %D%/pass.h \
	%D%/product.c %D%/product.h \
	%D%/quant.c %D%/quant.h \
	%D%/resample.c %D%/resample.h \
	%D%/taps.c %D%/taps.h \
	%D%/wino.c %D%/wino.h
%C%_libdnn_a_CFLAGS = $(AM_CFLAGS) $(CF_HOT)
CF_KERN_LIBS =

# Each instruction set is built alone with its own flags, so that its code is in no other
# object.
if CF_X86
noinst_LIBRARIES += %D%/libkern_avx2.a %D%/libkern_avx512.a
%C%_libkern_avx2_a_SOURCES = %D%/kern_avx2.c
%C%_libkern_avx2_a_CFLAGS = $(AM_CFLAGS) $(CF_HOT) -mavx2 -mfma -mf16c
%C%_libkern_avx512_a_SOURCES = %D%/kern_avx512.c
%C%_libkern_avx512_a_CFLAGS = $(AM_CFLAGS) $(CF_HOT) -mavx512f -mavx512bw -mavx512dq -mavx512vl -mfma
CF_KERN_LIBS += %D%/libkern_avx2.a %D%/libkern_avx512.a
endif
