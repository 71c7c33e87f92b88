/* Not libxml2's xmlwriter: without memory it drops a text and reports success, and it
 * prints. Six kinds of output need no library; the tests read every packet back with
 * libxml2. */
#include "config.h"

#include "store/xmp.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/utf8.h"
#include "store/fields.h"

#define SOURCE_TYPE                                                                      \
    "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
#define TOOL "cfgen " PACKAGE_VERSION

static const char head[] =
    "<?xpacket begin=\"\xef\xbb\xbf\" id=\"W5M0MpCehiHzreSzNTczkc9d\"?>\n"
    "<x:xmpmeta xmlns:x=\"adobe:ns:meta/\" x:xmptk=\"" TOOL "\">\n"
    "<rdf:RDF xmlns:rdf=\"http://www.w3.org/1999/02/22-rdf-syntax-ns#\">\n"
    "<rdf:Description rdf:about=\"\"\n"
    " xmlns:Iptc4xmpExt=\"http://iptc.org/std/Iptc4xmpExt/2008-02-29/\"";

static const char head_full[] = "\n xmlns:dc=\"http://purl.org/dc/elements/1.1/\""
                                "\n xmlns:xmp=\"http://ns.adobe.com/xap/1.0/\""
                                "\n xmlns:cfgen=\"" CF_META_NS "\"";

static const char tail[] = "</rdf:Description>\n"
                           "</rdf:RDF>\n"
                           "</x:xmpmeta>\n"
                           "<?xpacket end=\"w\"?>";

/* The packet so far. After a failure nothing more is added and err holds why. */
struct out {
    char *p; /* owned, no NUL */
    size_t len, cap;
    bool failed;
    struct cf_error *err;
};

static void raw_n(struct out *o, const char *s, size_t n)
{
    if (o->failed)
        return;
    if (n > SIZE_MAX - o->len ||
        cf_grow(&o->p, &o->cap, o->len + n, 1, o->err) != CF_OK) {
        o->failed = true;
        return;
    }
    if (n)
        memcpy(o->p + o->len, s, n);
    o->len += n;
}

static void raw(struct out *o, const char *s)
{
    raw_n(o, s, strlen(s));
}

/* What stands for the character at s in element content, and its bytes in *n; NULL where
 * it may stand for itself. s is well-formed UTF-8. XML 1.0: production [2], Char; 2.4 for
 * the three specials; 2.11 for the carriage return, which a reader would turn to a line
 * feed. */
static const char *replacement(const char *s, size_t *n)
{
    *n = 1;
    switch (*s) {
    case '&':
        return "&amp;";
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    case '\r':
        return "&#13;";
    case '\t':
    case '\n':
        return NULL;
    default:
        break;
    }
    if ((unsigned char)*s < 0x20)
        return "\xef\xbf\xbd";
    if (strncmp(s, "\xef\xbf\xbe", 3) == 0 || strncmp(s, "\xef\xbf\xbf", 3) == 0) {
        *n = 3;
        return "\xef\xbf\xbd";
    }
    return NULL;
}

static void text(struct out *o, const char *s)
{
    size_t len, from = 0, n;
    char *t;

    if (o->failed)
        return;
    if (cf_utf8_repair(s, strlen(s), &t, &len, o->err) != CF_OK) {
        o->failed = true;
        return;
    }
    for (size_t i = 0; i < len; i += n) {
        const char *r = replacement(t + i, &n);

        if (!r)
            continue;
        raw_n(o, t + from, i - from);
        raw(o, r);
        from = i + n;
    }
    raw_n(o, t + from, len - from);
    cf_free(t);
}

static void tag(struct out *o, const char *open, const char *prefix, const char *name,
                const char *close)
{
    raw(o, open);
    raw(o, prefix);
    raw(o, name);
    raw(o, close);
}

/* <prefix name>value</prefix name>, nothing when the value is unknown. */
static void property(struct out *o, const char *prefix, const char *name,
                     const char *value)
{
    if (!value)
        return;
    tag(o, "<", prefix, name, ">");
    text(o, value);
    tag(o, "</", prefix, name, ">\n");
}

/* A text with its language, of which XMP wants at least x-default. */
static void description(struct out *o, const char *value)
{
    if (!value)
        return;
    raw(o, "<dc:description><rdf:Alt><rdf:li xml:lang=\"x-default\">");
    text(o, value);
    raw(o, "</rdf:li></rdf:Alt></dc:description>\n");
}

/* Both prompts, in the one field that IPTC has for them. */
static void prompts(struct out *o, const struct cf_record *r)
{
    if (!r->prompt)
        return;
    raw(o, "<Iptc4xmpExt:AIPromptInformation>");
    text(o, r->prompt);
    if (r->negative && r->negative[0]) {
        raw(o, "\nNegative prompt: ");
        text(o, r->negative);
    }
    raw(o, "</Iptc4xmpExt:AIPromptInformation>\n");
}

static void system_used(struct out *o, const char *model)
{
    raw(o, "<Iptc4xmpExt:AISystemUsed>cfgen");
    if (model) {
        raw(o, " (");
        text(o, model);
        raw(o, ")");
    }
    raw(o, "</Iptc4xmpExt:AISystemUsed>\n");
    property(o, "Iptc4xmpExt:", "AISystemVersionUsed", PACKAGE_VERSION);
}

static void own_fields(struct out *o, const struct cf_record *r)
{
    char buf[CF_FIELD_BUF];

    snprintf(buf, sizeof buf, "%d", CF_META_SCHEMA);
    property(o, "cfgen:", "schema", buf);
    for (int i = 0; i < CF_NFIELD; i++)
        property(o, "cfgen:", cf_fields[i].name, cf_field_text(r, &cf_fields[i], buf));
}

char *cf_xmp_write(const struct cf_record *r, enum cf_meta_level level,
                   struct cf_error *err)
{
    struct out o = {.err = err};

    raw(&o, head);
    raw(&o, level == CF_META_FULL ? head_full : "");
    raw(&o, ">\n");
    property(&o, "Iptc4xmpExt:", "DigitalSourceType", SOURCE_TYPE);
    if (level == CF_META_FULL) {
        system_used(&o, r->model_name);
        prompts(&o, r);
        description(&o, r->prompt);
        property(&o, "xmp:", "CreatorTool", TOOL);
        property(&o, "xmp:", "CreateDate", r->date);
        own_fields(&o, r);
    }
    raw(&o, tail);
    raw_n(&o, "", 1);
    if (!o.failed)
        return o.p;
    cf_free(o.p);
    return NULL;
}
