/* xmp_test.c - packets from strangers. What we write ourselves is in meta_test.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/xmp.h"

#define HEAD                                                                             \
    "<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:RDF "                                      \
    "xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'><rdf:Description "          \
    "xmlns:cfgen='" CF_META_NS "' "
#define TAIL "</rdf:Description></rdf:RDF></x:xmpmeta>"

static void hostile_packets_are_refused(void **state)
{
    static const struct {
        const char *packet;
        enum cf_status status;
    } c[] = {
        {HEAD "cfgen:seed='7'>" TAIL, CF_OK},
        {HEAD "><cfgen:seed><![CDATA[7]]></cfgen:seed>" TAIL, CF_OK},
        {HEAD "><cfgen:later>new</cfgen:later>" TAIL, CF_OK},
        {HEAD "><cfgen:seed></cfgen:seed>" TAIL, CF_EFORMAT},
        {HEAD "><cfgen:seed>-1</cfgen:seed>" TAIL, CF_EFORMAT},
        {HEAD "><cfgen:seed>18446744073709551616</cfgen:seed>" TAIL, CF_EFORMAT},
        {HEAD "><cfgen:steps>2147483648</cfgen:steps>" TAIL, CF_EFORMAT},
        {HEAD "><cfgen:steps> 7</cfgen:steps>" TAIL, CF_EFORMAT},
        {HEAD "><cfgen:schema>one</cfgen:schema>" TAIL, CF_EFORMAT},
        {HEAD "cfgen:seed='7'><cfgen:seed>7</cfgen:seed>" TAIL, CF_EFORMAT},
        {HEAD "><cfgen:note><b/></cfgen:note>" TAIL, CF_EFORMAT},
        {HEAD "><cfgen:note>&undefined;</cfgen:note>" TAIL, CF_EFORMAT},
        {HEAD "><cfgen:note>&#0;</cfgen:note>" TAIL, CF_EFORMAT},
        {HEAD "><cfgen:note>", CF_EFORMAT},
        {HEAD ">" TAIL, CF_ENOENT},
        {"<a/>", CF_EFORMAT},
        {"", CF_EFORMAT},
        {"text", CF_EFORMAT},
        {"<!DOCTYPE x [<!ENTITY a 'b'>]>" HEAD "><cfgen:note>&a;</cfgen:note>" TAIL,
         CF_EFORMAT},
        {"<!DOCTYPE x SYSTEM 'file:///etc/passwd'>" HEAD "cfgen:seed='7'>" TAIL,
         CF_EFORMAT},
        {"<?xml version='1.0' encoding='UTF-16'?>" HEAD "cfgen:seed='7'>" TAIL, CF_OK},
        {"<x:xmpmeta xmlns:x='adobe:ns:meta/'><cfgen:seed xmlns:cfgen='" CF_META_NS
         "'>7</cfgen:seed></x:xmpmeta>",
         CF_EFORMAT},
    };

    (void)state;
    for (size_t i = 0; i < sizeof c / sizeof c[0]; i++) {
        struct cf_error err = {0};
        json_t *json;
        enum cf_status is = cf_xmp_read(c[i].packet, strlen(c[i].packet), &json, &err);

        if (is != c[i].status)
            print_message("# %s: %s\n", c[i].packet, err.msg);
        assert_int_equal(is, c[i].status);
        assert_true((json != NULL) == (is == CF_OK));
        assert_int_equal(err.status, is);
        json_decref(json);
    }
}

static void packets_of_great_depth_and_number_are_refused(void **state)
{
    size_t room = CF_META_XMP_MAX + 2;
    char *p = malloc(room), *q = p;
    struct cf_error a = {0}, b = {0}, c = {0}, d = {0}, e = {0};
    json_t *json;

    (void)state;
    for (int i = 0; i < 10000; i++)
        q = stpcpy(q, "<a>");
    assert_int_equal(cf_xmp_read(p, (size_t)(q - p), &json, &a), CF_EFORMAT);
    q = stpcpy(p, HEAD ">");
    for (int i = 0; i < 1000; i++)
        q += sprintf(q, "<cfgen:f%d>x</cfgen:f%d>", i, i);
    q = stpcpy(q, TAIL);
    assert_int_equal(cf_xmp_read(p, (size_t)(q - p), &json, &b), CF_EFORMAT);
    q = stpcpy(p, "<a");
    for (int i = 0; i < 500000; i++)
        q += sprintf(q, " a%d=''", i);
    stpcpy(q, "/>");
    assert_int_equal(cf_xmp_read(p, strlen(p), &json, &d), CF_EFORMAT);
    q = stpcpy(p, "<a>");
    for (int i = 0; i < 500000; i++)
        q = stpcpy(q, "<b/>");
    q = stpcpy(q, "</a>");
    assert_int_equal(cf_xmp_read(p, (size_t)(q - p), &json, &e), CF_EFORMAT);
    assert_non_null(strstr(e.msg, "too many"));
    memset(p, ' ', room - 1);
    p[room - 1] = '\0';
    assert_int_equal(cf_xmp_read(p, room - 1, &json, &c), CF_EFORMAT);
    free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hostile_packets_are_refused),
        cmocka_unit_test(packets_of_great_depth_and_number_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
