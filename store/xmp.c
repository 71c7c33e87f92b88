#include "config.h"

#include "store/xmp.h"

#include <libxml/parser.h>
#include <libxml/xmlwriter.h>
#include <stdbool.h>
#include <string.h>

#include "base/alloc.h"
#include "base/utf8.h"
#include "store/fields.h"

#define NS_RDF "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
#define SOURCE_TYPE                                                                      \
    "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
#define TOOL "cfgen " PACKAGE_VERSION

/* A writer that remembers its first failure, so that calls need no check each. */
struct out {
    xmlTextWriterPtr w;
    bool failed;
    struct cf_error *err;
};

static void put(struct out *o, int written)
{
    if (written < 0)
        o->failed = true;
}

static void open_element(struct out *o, const char *name)
{
    put(o, xmlTextWriterStartElement(o->w, BAD_CAST name));
}

static void close_element(struct out *o)
{
    put(o, xmlTextWriterEndElement(o->w));
}

static void attribute(struct out *o, const char *name, const char *value)
{
    put(o, xmlTextWriterWriteAttribute(o->w, BAD_CAST name, BAD_CAST value));
}

/* Bytes of the character at s when XML 1.0 cannot hold it (production [2], Char), else 0.
 * s is well-formed UTF-8, so surrogates cannot come. */
static size_t forbidden(const char *s)
{
    if ((unsigned char)*s < 0x20 && *s != '\t' && *s != '\n' && *s != '\r')
        return 1;
    if (strncmp(s, "\xef\xbf\xbe", 3) == 0 || strncmp(s, "\xef\xbf\xbf", 3) == 0)
        return 3;
    return 0;
}

/* A fresh copy of s that XML can hold. */
static char *clean(const char *s, struct cf_error *err)
{
    char *from, *to = NULL;
    size_t len, at = 0;

    if (cf_utf8_repair(s, strlen(s), &from, &len, err) != CF_OK)
        return NULL;
    to = cf_alloc(3 * len + 1, 1, err);
    if (to) {
        for (size_t i = 0; i < len;) {
            size_t n = forbidden(from + i);

            if (n) {
                memcpy(to + at, "\xef\xbf\xbd", 3);
                at += 3;
                i += n;
            } else {
                to[at++] = from[i++];
            }
        }
        to[at] = '\0';
    }
    cf_free(from);
    return to;
}

static void text(struct out *o, const char *s)
{
    char *t = clean(s, o->err);

    if (t)
        put(o, xmlTextWriterWriteString(o->w, BAD_CAST t));
    else
        o->failed = true;
    cf_free(t);
}

/* <name>value</name>, nothing when the value is unknown. */
static void property(struct out *o, const char *name, const char *value)
{
    if (!value)
        return;
    open_element(o, name);
    text(o, value);
    close_element(o);
}

/* A text with its language, of which XMP wants at least x-default. */
static void language_property(struct out *o, const char *name, const char *value)
{
    if (!value)
        return;
    open_element(o, name);
    open_element(o, "rdf:Alt");
    open_element(o, "rdf:li");
    attribute(o, "xml:lang", "x-default");
    text(o, value);
    close_element(o);
    close_element(o);
    close_element(o);
}

/* The parts of the prompt, as IPTC's one field for them. */
static void prompt_property(struct out *o, const struct cf_record *r)
{
    if (!r->prompt)
        return;
    open_element(o, "Iptc4xmpExt:AIPromptInformation");
    text(o, r->prompt);
    if (r->negative && r->negative[0]) {
        text(o, "\nNegative prompt: ");
        text(o, r->negative);
    }
    close_element(o);
}

static void own_properties(struct out *o, const struct cf_record *r)
{
    char name[64], buf[CF_FIELD_BUF];

    snprintf(buf, sizeof buf, "%d", CF_META_SCHEMA);
    property(o, "cfgen:schema", buf);
    for (int i = 0; i < CF_NFIELD; i++) {
        snprintf(name, sizeof name, "cfgen:%s", cf_fields[i].name);
        property(o, name, cf_field_text(r, &cf_fields[i], buf));
    }
}

static void full_properties(struct out *o, const struct cf_record *r)
{
    char *system = NULL;

    if (r->model_name && !(system = cf_format(o->err, "cfgen (%s)", r->model_name)))
        o->failed = true;
    property(o, "Iptc4xmpExt:AISystemUsed", system ? system : "cfgen");
    property(o, "Iptc4xmpExt:AISystemVersionUsed", PACKAGE_VERSION);
    prompt_property(o, r);
    language_property(o, "dc:description", r->prompt);
    property(o, "xmp:CreatorTool", TOOL);
    property(o, "xmp:CreateDate", r->date);
    own_properties(o, r);
    cf_free(system);
}

static void packet(struct out *o, const struct cf_record *r, enum cf_meta_level level)
{
    bool full = level == CF_META_FULL;

    put(o, xmlTextWriterWritePI(o->w, BAD_CAST "xpacket",
                                BAD_CAST "begin=\"\xef\xbb\xbf\" "
                                         "id=\"W5M0MpCehiHzreSzNTczkc9d\""));
    open_element(o, "x:xmpmeta");
    attribute(o, "xmlns:x", "adobe:ns:meta/");
    attribute(o, "x:xmptk", TOOL);
    open_element(o, "rdf:RDF");
    attribute(o, "xmlns:rdf", NS_RDF);
    open_element(o, "rdf:Description");
    attribute(o, "rdf:about", "");
    attribute(o, "xmlns:Iptc4xmpExt", "http://iptc.org/std/Iptc4xmpExt/2008-02-29/");
    if (full) {
        attribute(o, "xmlns:dc", "http://purl.org/dc/elements/1.1/");
        attribute(o, "xmlns:xmp", "http://ns.adobe.com/xap/1.0/");
        attribute(o, "xmlns:cfgen", CF_META_NS);
    }
    property(o, "Iptc4xmpExt:DigitalSourceType", SOURCE_TYPE);
    if (full)
        full_properties(o, r);
    close_element(o);
    close_element(o);
    close_element(o);
    put(o, xmlTextWriterWritePI(o->w, BAD_CAST "xpacket", BAD_CAST "end=\"w\""));
}

char *cf_xmp_write(const struct cf_record *r, enum cf_meta_level level,
                   struct cf_error *err)
{
    struct out o = {.err = err};
    xmlBufferPtr buffer = NULL;
    char *copy = NULL;

    xmlInitParser(); /* once per process; later calls return at once */
    buffer = xmlBufferCreate();
    o.w = buffer ? xmlNewTextWriterMemory(buffer, 0) : NULL;
    if (!o.w)
        goto out;
    packet(&o, r, level);
    put(&o, xmlTextWriterFlush(o.w));
    if (!o.failed)
        copy = cf_strndup((const char *)xmlBufferContent(buffer),
                          (size_t)xmlBufferLength(buffer), err);
out:
    if (!copy)
        cf_fail(err, CF_ENOMEM, "XMP: out of memory");
    if (o.w)
        xmlFreeTextWriter(o.w);
    if (buffer)
        xmlBufferFree(buffer);
    return copy;
}
