/* fields.h - the fields of struct cf_record, once: XMP, JSON and reading walk this table.
 *
 * Adding a field touches struct cf_record and one line of fields.c. */
#ifndef CF_STORE_FIELDS_H
#define CF_STORE_FIELDS_H

#include <jansson.h>
#include <stddef.h>

#include "base/error.h"
#include "store/meta.h"

enum cf_field_kind {
    CF_FIELD_TEXT,  /* const char *; a string in JSON */
    CF_FIELD_JSON,  /* const char *; embedded in JSON when it is an object */
    CF_FIELD_COUNT, /* int; a number in JSON, unknown when 0 */
    CF_FIELD_SEED   /* uint64_t; a decimal string in JSON */
};

struct cf_field {
    const char *name; /* in XMP and in JSON */
    enum cf_field_kind kind;
    size_t at; /* offset in struct cf_record */
};

enum { CF_NFIELD = 25, CF_FIELD_BUF = 24 };
extern const struct cf_field cf_fields[CF_NFIELD];

/* NULL for a name that is none of ours. */
const struct cf_field *cf_field_find(const char *name);

/* The field as text: borrowed from the record, or made in buf (CF_FIELD_BUF bytes); NULL
 * when unknown. */
const char *cf_field_text(const struct cf_record *r, const struct cf_field *f, char *buf);

/* The JSON value of a field's text (f NULL: an unknown field). Ill-formed UTF-8 becomes
 * U+FFFD. CF_EFORMAT (as NULL) when the text does not fit the kind: a count that is no
 * number in 0..2^31-1, a seed outside 64 bits. */
json_t *cf_field_json(const struct cf_field *f, const char *text, struct cf_error *err);

/* CF_ERANGE when a text is longer than CF_META_TEXT_MAX. */
enum cf_status cf_record_check(const struct cf_record *r, struct cf_error *err);

#endif
