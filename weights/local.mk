noinst_LIBRARIES += %D%/libweights.a
%C%_libweights_a_SOURCES = \
	%D%/bind.c %D%/bind.h \
	%D%/checkpoint.c %D%/checkpoint.h \
	%D%/config.c %D%/config.h \
	%D%/keys.c %D%/keys.h \
	%D%/manifest.c %D%/manifest.h \
	%D%/model.c %D%/model.h \
	%D%/safetensors.c %D%/safetensors.h \
	%D%/shapes.c %D%/shapes.h \
	%D%/source.c %D%/source.h \
	%D%/st_write.c %D%/st_write.h
