noinst_LIBRARIES += %D%/libstore.a
%C%_libstore_a_SOURCES = \
	%D%/durable.c %D%/durable.h \
	%D%/exif.c %D%/exif.h \
	%D%/fields.c %D%/fields.h \
	%D%/image_read.c %D%/image_read.h \
	%D%/layout.c %D%/layout.h \
	%D%/meta.c %D%/meta.h \
	%D%/owner.c %D%/owner.h \
	%D%/params.c %D%/params.h \
	%D%/plain.c %D%/plain.h \
	%D%/sink.c %D%/sink.h \
	%D%/tar.c %D%/tar.h %D%/tar_file.h %D%/tar_open.c \
	%D%/ustar.c %D%/ustar.h \
	%D%/webp.c %D%/webp.h \
	%D%/xmp.c %D%/xmp.h %D%/xmp_read.c
%C%_libstore_a_CPPFLAGS = $(AM_CPPFLAGS) $(WEBP_CFLAGS) $(WEBPMUX_CFLAGS) $(EXIF_CFLAGS) \
	$(XML_CFLAGS)
