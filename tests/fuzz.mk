# Fuzz targets of what people bring (tests/fuzz/README.md); each corpus is replayed, with
# mutations, by a small driver. The other targets stand beside the tests of their module.
cf_fuzz = %D%/fuzz/replay_pickle %D%/fuzz/replay_pth %D%/fuzz/replay_t5_config \
	%D%/fuzz/replay_spm %D%/fuzz/replay_import %D%/fuzz/replay_recipe %D%/fuzz/replay_webp
check_PROGRAMS += $(cf_fuzz)
TESTS += $(cf_fuzz)
EXTRA_DIST += %D%/fuzz/README.md %D%/fuzz/seed_files.py
cf_fuzz_driver = %D%/fuzz/fuzz.h %D%/fuzz/replay.c

%C%_fuzz_replay_pickle_SOURCES = %D%/fuzz/fuzz_pickle.c $(cf_fuzz_driver)
%C%_fuzz_replay_pickle_CPPFLAGS = $(AM_CPPFLAGS) -DCF_FUZZ_CORPUS='"pickle"'
%C%_fuzz_replay_pickle_LDADD = $(CF_WEIGHTS_LIBS)
%C%_fuzz_replay_pth_SOURCES = %D%/fuzz/fuzz_pth.c $(cf_fuzz_driver)
%C%_fuzz_replay_pth_CPPFLAGS = $(AM_CPPFLAGS) -DCF_FUZZ_CORPUS='"pth"'
%C%_fuzz_replay_pth_LDADD = $(CF_WEIGHTS_LIBS)
%C%_fuzz_replay_t5_config_SOURCES = %D%/fuzz/fuzz_t5_config.c $(cf_fuzz_driver)
%C%_fuzz_replay_t5_config_CPPFLAGS = $(AM_CPPFLAGS) -DCF_FUZZ_CORPUS='"t5_config"'
%C%_fuzz_replay_t5_config_LDADD = $(CF_FUZZ_TEXTENC_LIBS)
# C++ comes with spm.o: automake takes its linker when it believes in a C++ source.
%C%_fuzz_replay_spm_SOURCES = %D%/fuzz/fuzz_spm.c $(cf_fuzz_driver)
nodist_EXTRA_%C%_fuzz_replay_spm_SOURCES = dummy.cxx
%C%_fuzz_replay_spm_CPPFLAGS = $(AM_CPPFLAGS) -DCF_FUZZ_CORPUS='"spm"'
%C%_fuzz_replay_spm_LDADD = textenc/libtextenc.a $(SPM_LIBS) $(CF_WEIGHTS_LIBS)
%C%_fuzz_replay_import_SOURCES = %D%/fuzz/fuzz_import.c $(cf_fuzz_driver)
%C%_fuzz_replay_import_CPPFLAGS = $(AM_CPPFLAGS) -DCF_FUZZ_CORPUS='"import"'
%C%_fuzz_replay_import_LDADD = $(CF_JOBS_LIBS)
%C%_fuzz_replay_recipe_SOURCES = %D%/fuzz/fuzz_recipe.c $(cf_fuzz_driver)
%C%_fuzz_replay_recipe_CPPFLAGS = $(AM_CPPFLAGS) -DCF_FUZZ_CORPUS='"recipe"'
%C%_fuzz_replay_recipe_LDADD = $(CF_JOBS_LIBS)
%C%_fuzz_replay_webp_SOURCES = %D%/fuzz/fuzz_webp.c $(cf_fuzz_driver)
%C%_fuzz_replay_webp_CPPFLAGS = $(AM_CPPFLAGS) -DCF_FUZZ_CORPUS='"webp"'
%C%_fuzz_replay_webp_LDADD = $(CF_STORE_LIBS)

# A minute of libFuzzer for each target, with clang; CF_FUZZ_SECONDS says another time and
# FUZZ="pickle pth" names targets.
.PHONY: check-fuzz
check-fuzz: all
	@CFGEN_SRCDIR='$(abs_top_srcdir)' bash '$(top_srcdir)/%D%/fuzz/check.sh' \
	  $(DEFS) $(AM_CPPFLAGS) $(SQLITE_CFLAGS) $(WEBP_CFLAGS) $(WEBPMUX_CFLAGS) $(EXIF_CFLAGS) \
	  $(XML_CFLAGS) $(ZLIB_CFLAGS) -- \
	  $(SQLITE_LIBS) $(CSV_LIBS) $(ZLIB_LIBS) $(WEBPMUX_LIBS) $(WEBP_LIBS) $(EXIF_LIBS) $(XML_LIBS) \
	  $(ARCHIVE_LIBS) $(SPM_LIBS) $(ZIP_LIBS) $(JANSSON_LIBS) $(CRYPTO_LIBS) $(UTF8PROC_LIBS) \
	  $(CF_DNN_LIBS) -lgomp -lm -- $(FUZZ)
EXTRA_DIST += %D%/fuzz/check.sh
clean-local: clean-fuzz
.PHONY: clean-fuzz
clean-fuzz:
	rm -rf build-fuzz
