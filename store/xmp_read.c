/* The reading half of xmp.h: any byte of a packet may be hostile. */
#include "store/xmp.h"

#include <libxml/parser.h>
#include <libxml/tree.h>
#include <stdbool.h>
#include <string.h>

#include "store/fields.h"

#define NS_RDF "http://www.w3.org/1999/02/22-rdf-syntax-ns#"

/* Far above what anybody writes. Elements cost memory, and attributes time: libxml2
 * compares each with every other of its element. */
enum { MAX_FIELDS = 256, MAX_MARKUP = 1 << 14 };

static bool is_named(const xmlNode *n, const char *ns, const char *name)
{
    return n->type == XML_ELEMENT_NODE && n->ns && n->ns->href &&
           strcmp((const char *)n->ns->href, ns) == 0 &&
           (!name || strcmp((const char *)n->name, name) == 0);
}

static bool is_leaf(const xmlNode *n)
{
    for (const xmlNode *c = n->children; c; c = c->next)
        if (c->type != XML_TEXT_NODE && c->type != XML_CDATA_SECTION_NODE)
            return false;
    return true;
}

/* One field into all, which refuses a name that it has. Frees value. */
static enum cf_status add(json_t *all, const char *name, xmlChar *value,
                          struct cf_error *err)
{
    static const struct cf_field schema = {.name = "schema", .kind = CF_FIELD_COUNT};
    const struct cf_field *f =
        strcmp(name, schema.name) == 0 ? &schema : cf_field_find(name);
    enum cf_status status = CF_OK;
    json_t *v = NULL;

    if (!value)
        return cf_fail(err, CF_ENOMEM, "XMP: out of memory");
    if (json_object_get(all, name))
        status = cf_fail(err, CF_EFORMAT, "XMP: cfgen:%s twice", name);
    else if (json_object_size(all) >= MAX_FIELDS)
        status = cf_fail(err, CF_EFORMAT, "XMP: more than %d fields", MAX_FIELDS);
    else if (!(v = cf_field_json(f, (const char *)value, err)))
        status = err ? err->status : CF_EFORMAT;
    else if (json_object_set_new(all, name, v) != 0)
        status = cf_fail(err, CF_ENOMEM, "XMP: out of memory");
    xmlFree(value);
    return status;
}

static enum cf_status read_description(json_t *all, xmlNode *desc, struct cf_error *err)
{
    for (xmlAttr *a = desc->properties; a; a = a->next)
        if (a->ns && a->ns->href && strcmp((const char *)a->ns->href, CF_META_NS) == 0)
            CF_TRY(add(all, (const char *)a->name, xmlNodeGetContent((xmlNode *)a), err));
    for (xmlNode *n = desc->children; n; n = n->next) {
        if (!is_named(n, CF_META_NS, NULL))
            continue;
        if (!is_leaf(n))
            return cf_fail(err, CF_EFORMAT, "XMP: cfgen:%.40s is not plain text",
                           (const char *)n->name);
        CF_TRY(add(all, (const char *)n->name, xmlNodeGetContent(n), err));
    }
    return CF_OK;
}

/* rdf:RDF is the root or a child of x:xmpmeta (ISO 16684-1, 7.3.3). */
static const xmlNode *find_rdf(xmlDoc *doc)
{
    const xmlNode *root = xmlDocGetRootElement(doc);

    if (!root || is_named(root, NS_RDF, "RDF"))
        return root;
    for (const xmlNode *n = root->children; n; n = n->next)
        if (is_named(n, NS_RDF, "RDF"))
            return n;
    return NULL;
}

static enum cf_status read_tree(json_t *all, xmlDoc *doc, struct cf_error *err)
{
    const xmlNode *rdf = find_rdf(doc);

    if (!rdf)
        return cf_fail(err, CF_EFORMAT, "XMP: no rdf:RDF");
    for (xmlNode *n = rdf->children; n; n = n->next)
        if (is_named(n, NS_RDF, "Description"))
            CF_TRY(read_description(all, n, err));
    if (json_object_size(all) == 0)
        return cf_fail(err, CF_ENOENT, "XMP: no fields of cfgen");
    return CF_OK;
}

static bool too_much_markup(const char *s)
{
    size_t n = 0;

    while (*(s += strcspn(s, "<=")) && n <= MAX_MARKUP) {
        n++;
        s++;
    }
    return n > MAX_MARKUP;
}

/* What to refuse before a parser sees it; NULL when there is nothing. A document type is
 * where entities, and files to load, come from; XMP forbids it. */
static const char *objection(const char *packet, size_t len)
{
    if (len > CF_META_XMP_MAX)
        return "too long";
    if (strstr(packet, "<!DOCTYPE"))
        return "a document type is not allowed";
    if (too_much_markup(packet))
        return "too many elements and attributes";
    return NULL;
}

/* Without XML_PARSE_HUGE libxml2 bounds depth and lengths, without NOENT it replaces
 * nothing. */
static xmlDoc *parse(xmlParserCtxt *ctxt, const char *packet, size_t len,
                     struct cf_error *err)
{
    const char *bad = objection(packet, len);
    const xmlError *why;
    xmlDoc *doc;

    if (bad) {
        cf_fail(err, CF_EFORMAT, "XMP: %s", bad);
        return NULL;
    }
    doc = xmlCtxtReadMemory(ctxt, packet, (int)len, NULL, "UTF-8",
                            XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING |
                                XML_PARSE_COMPACT);
    if (!doc) {
        /* Without memory libxml2 may give up before it has a reason. */
        why = xmlCtxtGetLastError(ctxt);
        if (!why || why->code == XML_ERR_OK || why->code == XML_ERR_NO_MEMORY)
            cf_fail(err, CF_ENOMEM, "XMP: out of memory");
        else
            cf_fail(err, CF_EFORMAT, "XMP: line %d: %.200s", why->line,
                    why->message ? why->message : "not XML");
    }
    return doc;
}

enum cf_status cf_xmp_read(const char *packet, size_t len, json_t **out,
                           struct cf_error *err)
{
    xmlParserCtxt *ctxt;
    xmlDoc *doc = NULL;
    json_t *all = NULL;
    enum cf_status status;

    *out = NULL;
    xmlInitParser();
    ctxt = xmlNewParserCtxt();
    all = json_object();
    if (!ctxt || !all) {
        status = cf_fail(err, CF_ENOMEM, "XMP: out of memory");
        goto out;
    }
    doc = parse(ctxt, packet, len, err);
    if (!doc) {
        status = err ? err->status : CF_EFORMAT;
        goto out;
    }
    status = read_tree(all, doc, err);
    if (status == CF_OK) {
        *out = all;
        all = NULL;
    }
out:
    json_decref(all);
    xmlFreeDoc(doc);
    xmlFreeParserCtxt(ctxt);
    return status;
}
