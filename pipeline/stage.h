/* stage.h - where the time of an image goes. */
#ifndef CF_PIPELINE_STAGE_H
#define CF_PIPELINE_STAGE_H

enum cf_stage {
    CF_STAGE_ENCODE,
    CF_STAGE_GENERATE,
    CF_STAGE_DECODE,
    CF_STAGE_WEBP,
    CF_STAGE_FILE,
    CF_STAGE_ROW,
    CF_NSTAGE
};

#endif
