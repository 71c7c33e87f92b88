noinst_LIBRARIES += %D%/libmodels.a
%C%_libmodels_a_SOURCES = \
	%D%/bsq.c %D%/bsq.h \
	%D%/detect.c %D%/detect.h \
	%D%/gen.c %D%/gen.h \
	%D%/geometry.c %D%/geometry.h \
	%D%/infinity.c %D%/infinity.h \
	%D%/infinity_block.c \
	%D%/infinity_keys.c %D%/infinity_keys.h \
	%D%/infinity_plan.c \
	%D%/infinity_prune.c \
	%D%/infinity_text.c \
	%D%/infinity_weights.c \
	%D%/params.c %D%/params.h \
	%D%/sampler.c %D%/sampler.h \
	%D%/schedule.c %D%/schedule.h %D%/schedule_table.c \
	%D%/sections.c %D%/sections.h \
	%D%/vae.c %D%/vae.h \
	%D%/vae_keys.c %D%/vae_keys.h \
	%D%/vae_part.h \
	%D%/vae_run.c \
	%D%/work.c %D%/work.h
EXTRA_DIST += %D%/schedule_table.py

# The model that comes with the program.
nobase_dist_pkgdata_DATA += \
	%D%/pilot32/MODEL_CARD.md \
	%D%/pilot32/infinity.safetensors \
	%D%/pilot32/labels.txt \
	%D%/pilot32/model.json \
	%D%/pilot32/spm.model \
	%D%/pilot32/text_encoder/config.json \
	%D%/pilot32/text_encoder/model.safetensors \
	%D%/pilot32/vae.safetensors
