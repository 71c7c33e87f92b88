noinst_LIBRARIES += %D%/libpipeline.a
%C%_libpipeline_a_SOURCES = \
	%D%/arrange.c %D%/arrange.h \
	%D%/batch.c %D%/batch.h \
	%D%/belt.c %D%/belt.h \
	%D%/budget.c %D%/budget.h \
	%D%/commit.c %D%/commit.h \
	%D%/crew.c %D%/crew.h \
	%D%/engine.c %D%/engine.h \
	%D%/estimate.c %D%/estimate.h \
	%D%/exclusive.c %D%/exclusive.h \
	%D%/feed.c %D%/feed.h \
	%D%/finish.c %D%/finish.h \
	%D%/generate.c %D%/generate.h \
	%D%/holding.c %D%/holding.h \
	%D%/launch.c %D%/launch.h \
	%D%/ledger.c %D%/ledger.h \
	%D%/loaded.c %D%/loaded.h \
	%D%/lot.c %D%/lot.h \
	%D%/pool.c %D%/pool.h \
	%D%/positive.c %D%/positive.h \
	%D%/press.c %D%/press.h \
	%D%/progress.c %D%/progress.h \
	%D%/rerun.c %D%/rerun.h \
	%D%/room.c %D%/room.h \
	%D%/single.c %D%/single.h \
	%D%/settings.c %D%/settings.h \
	%D%/shift.c %D%/shift.h \
	%D%/source.c %D%/source.h \
	%D%/stage.h \
	%D%/statusfile.c %D%/statusfile.h \
	%D%/stop.c %D%/stop.h \
	%D%/tarout.c %D%/tarout.h \
	%D%/texts.c %D%/texts.h \
	%D%/variation.c %D%/variation.h

CF_PIPELINE_LIBS = pipeline/libpipeline.a $(CF_JOBS_LIBS) $(CF_STORE_LIBS) $(CF_ENGINE_LIBS)

bin_PROGRAMS += cfgen cfgen-batch
cfgen_SOURCES = %D%/cfgen.c
cfgen_LDADD = $(CF_PIPELINE_LIBS)
# SentencePiece is C++: this row makes automake link with the C++ compiler.
nodist_EXTRA_cfgen_SOURCES = dummy.cxx
cfgen_batch_SOURCES = %D%/cfgen-batch.c
cfgen_batch_LDADD = $(CF_PIPELINE_LIBS)
nodist_EXTRA_cfgen_batch_SOURCES = dummy.cxx

# The queue and the images, never the engine: these libraries are the proof of it.
bin_PROGRAMS += cfgen-jobs
cfgen_jobs_SOURCES = $(CF_JOBS_COMMANDS) \
	%D%/cfgen-jobs.c \
	%D%/checks.c %D%/checks.h \
	%D%/cmd_gallery.c \
	%D%/cmd_rerun.c \
	%D%/cmd_verify.c \
	%D%/gallery.c %D%/gallery.h \
	%D%/gallery_html.c %D%/gallery_html.h \
	%D%/gallery_thumb.c %D%/gallery_thumb.h
cfgen_jobs_LDADD = $(CF_JOBS_LIBS) $(CF_STORE_LIBS)

bin_PROGRAMS += cfgen-model
cfgen_model_SOURCES = \
	%D%/cfgen-model.c \
	%D%/model_cmd.h \
	%D%/model_hash.c
cfgen_model_LDADD = $(CF_PIPELINE_LIBS)
nodist_EXTRA_cfgen_model_SOURCES = dummy.cxx
