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
	%D%/emoji-64/MODEL_CARD.md \
	%D%/emoji-64/NOTICE \
	%D%/emoji-64/curves-tokenizer.png \
	%D%/emoji-64/curves-transformer.png \
	%D%/emoji-64/flips.png \
	%D%/emoji-64/guidance.png \
	%D%/emoji-64/infinity.safetensors \
	%D%/emoji-64/labels.txt \
	%D%/emoji-64/model.json \
	%D%/emoji-64/spm.model \
	%D%/emoji-64/temperature.png \
	%D%/emoji-64/text_encoder/config.json \
	%D%/emoji-64/text_encoder/model.safetensors \
	%D%/emoji-64/vae.safetensors
