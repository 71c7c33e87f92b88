noinst_LIBRARIES += %D%/libweights.a
%C%_libweights_a_SOURCES = \
	%D%/ahead.c %D%/ahead.h \
	%D%/bind.c %D%/bind.h \
	%D%/checkpoint.c %D%/checkpoint.h \
	%D%/compare.c %D%/compare.h \
	%D%/config.c %D%/config.h \
	%D%/flatten.c %D%/flatten.h \
	%D%/index.c %D%/index.h \
	%D%/keys.c %D%/keys.h \
	%D%/model.c %D%/model.h \
	%D%/model_spec.c %D%/model_spec.h \
	%D%/names.c %D%/names.h \
	%D%/pickle.c %D%/pickle.h %D%/pickle_read.c \
	%D%/pickle_torch.c %D%/pickle_value.h \
	%D%/pack_file.c %D%/pack_file.h \
	%D%/pth.c %D%/pth.h \
	%D%/safetensors.c %D%/safetensors.h \
	%D%/shapes.c %D%/shapes.h \
	%D%/source.c %D%/source.h %D%/source_pick.c %D%/source_pick.h \
	%D%/st_write.c %D%/st_write.h \
	%D%/zip_check.c %D%/zip_check.h
