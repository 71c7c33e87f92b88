noinst_LIBRARIES += %D%/libpipeline.a
%C%_libpipeline_a_SOURCES = \
	%D%/arrange.c %D%/arrange.h \
	%D%/batch.c %D%/batch.h \
	%D%/belt.c %D%/belt.h \
	%D%/budget.c %D%/budget.h \
	%D%/commit.c %D%/commit.h \
	%D%/convert_state.c %D%/convert_state.h \
	%D%/crew.c %D%/crew.h \
	%D%/engine.c %D%/engine.h \
	%D%/estimate.c %D%/estimate.h \
	%D%/exclusive.c %D%/exclusive.h \
	%D%/feed.c %D%/feed.h \
	%D%/finish.c %D%/finish.h \
	%D%/generate.c %D%/generate.h \
	%D%/groups.c %D%/groups.h \
	%D%/holding.c %D%/holding.h \
	%D%/inspect.c %D%/inspect.h \
	%D%/launch.c %D%/launch.h \
	%D%/leader.c %D%/leader.h \
	%D%/ledger.c %D%/ledger.h \
	%D%/loaded.c %D%/loaded.h \
	%D%/lot.c %D%/lot.h \
	%D%/needs.c %D%/needs.h \
	%D%/pool.c %D%/pool.h \
	%D%/positive.c %D%/positive.h \
	%D%/press.c %D%/press.h \
	%D%/progress.c %D%/progress.h \
	%D%/rerun.c %D%/rerun.h \
	%D%/packed.c %D%/packed.h \
	%D%/room.c %D%/room.h \
	%D%/scales.c %D%/scales.h \
	%D%/single.c %D%/single.h \
	%D%/selfcheck.c %D%/selfcheck.h \
	%D%/settings.c %D%/settings.h \
	%D%/shift.c %D%/shift.h \
	%D%/stage.h \
	%D%/statusfile.c %D%/statusfile.h \
	%D%/stop.c %D%/stop.h \
	%D%/tarout.c %D%/tarout.h \
	%D%/texts.c %D%/texts.h \
	%D%/variation.c %D%/variation.h \
	%D%/workdb.c %D%/workdb.h

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
	%D%/convert_args.c %D%/convert_args.h \
	%D%/convert_choose.c %D%/convert_choose.h \
	%D%/convert_origin.c %D%/convert_origin.h \
	%D%/convert_out.c %D%/convert_out.h \
	%D%/convert_pair.c %D%/convert_pair.h \
	%D%/convert_take.c %D%/convert_take.h \
	%D%/convert_text.c %D%/convert_text.h \
	%D%/convert_write.c \
	%D%/model_cmd.h \
	%D%/model_convert.c \
	%D%/model_hash.c \
	%D%/model_inspect.c \
	%D%/model_pack.c \
	%D%/model_quantize.c \
	%D%/model_synth.c \
	%D%/model_verify.c \
	%D%/out_copy.c %D%/out_copy.h \
	%D%/quant_report.c %D%/quant_report.h \
	%D%/requant.c %D%/requant.h \
	%D%/synth_law.c %D%/synth_law.h \
	%D%/synth_model.c %D%/synth_model.h \
	%D%/synth_part.c %D%/synth_part.h
cfgen_model_LDADD = $(CF_PIPELINE_LIBS)
nodist_EXTRA_cfgen_model_SOURCES = dummy.cxx
