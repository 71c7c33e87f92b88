/* pipeline.h - the story of an image, from prompt to durable file. */
#ifndef CF_PIPELINE_PIPELINE_H
#define CF_PIPELINE_PIPELINE_H

#endif
