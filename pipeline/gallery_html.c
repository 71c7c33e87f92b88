#include "pipeline/gallery_html.h"

#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/utf8.h"

enum { LRI = 0x2066, FSI = 0x2068, PDI = 0x2069 };

/* The character at p, which is well-formed, and its length. */
static uint32_t character(const unsigned char *p, size_t *n)
{
    uint32_t c;

    *n = *p < 0x80 ? 1 : *p < 0xe0 ? 2 : *p < 0xf0 ? 3 : 4;
    c = *n == 1 ? *p : *p & (0xffu >> (*n + 1));
    for (size_t i = 1; i < *n; i++)
        c = c << 6 | (p[i] & 0x3f);
    return c;
}

static void put_character(FILE *to, uint32_t c, const char *bytes, size_t n)
{
    switch (c) {
    case '&':
        fputs("&amp;", to);
        break;
    case '<':
        fputs("&lt;", to);
        break;
    case '>':
        fputs("&gt;", to);
        break;
    case '"':
        fputs("&quot;", to);
        break;
    case '\t':
    case '\n':
        putc(' ', to);
        break;
    default:
        if (c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0xfffe || c == 0xffff)
            fputs("\xef\xbf\xbd", to);
        else
            fwrite(bytes, 1, n, to);
    }
}

void cf_html_text(FILE *to, const char *text, size_t len, size_t max)
{
    char *s;
    size_t size, n, at = 0;
    int isolates = 0;

    if (cf_utf8_repair(text, len, &s, &size, NULL) != CF_OK) {
        fputs("\xef\xbf\xbd", to);
        return;
    }
    for (; at < size && max; at += n, max--) {
        uint32_t c = character((const unsigned char *)s + at, &n);

        isolates += (c >= LRI && c <= FSI) - (c == PDI);
        if (isolates < 0) {
            isolates = 0;
            fputs("\xef\xbf\xbd", to);
        } else {
            put_character(to, c, s + at, n);
        }
    }
    if (at < size)
        fputs("…", to);
    cf_free(s);
}

void cf_html_isolated(FILE *to, const char *text, size_t len, size_t max)
{
    fputs("<bdi>", to);
    cf_html_text(to, text, len, max);
    fputs("</bdi>", to);
}

void cf_html_url(FILE *to, const char *path)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                "0123456789/._-~";

    for (; *path; path++)
        if (strchr(plain, *path))
            putc(*path, to);
        else
            fprintf(to, "%%%02X", (unsigned char)*path);
}

void cf_html_bytes(FILE *to, int64_t bytes)
{
    if (bytes < 1000)
        fprintf(to, "%" PRId64 "\u00a0B", bytes);
    else if (bytes < 1000000)
        fprintf(to, "%.1f\u00a0KB", (double)bytes / 1e3);
    else
        fprintf(to, "%.1f\u00a0MB", (double)bytes / 1e6);
}

void cf_html_count(FILE *to, int64_t n)
{
    char digits[24];
    int len = snprintf(digits, sizeof digits, "%" PRId64, n);

    for (int i = 0; i < len; i++) {
        if (i && (len - i) % 3 == 0)
            putc(',', to);
        putc(digits[i], to);
    }
}

/* No '<' and no '&': the style stands in XML as it is. */
static const char style[] =
    ":root{color-scheme:light dark;--back:#f6f6f4;--card:#fff;--text:#1c1c1a;"
    "--soft:#62625c;--line:#dcdcd6;--accent:#0b57a4;--bad:#b3261e;--well:#ececE8}\n"
    "@media (prefers-color-scheme:dark){:root{--back:#141416;--card:#1e1e21;"
    "--text:#ececea;--soft:#a3a39c;--line:#34343a;--accent:#8ab8f5;--bad:#ff8a80;"
    "--well:#101012}}\n"
    "*{box-sizing:border-box}\n"
    "body{margin:0 auto;padding:1.5rem 1.25rem 3rem;max-width:100rem;"
    "background:var(--back);color:var(--text);font:1rem/1.45 system-ui,sans-serif}\n"
    "h1{font-size:1.5rem;line-height:1.2;margin:0 0 .25rem;overflow-wrap:anywhere}\n"
    "h2{font-size:1.1rem;margin:1.5rem 0 .5rem}\n"
    "a{color:var(--accent)}\n"
    "a:focus-visible,summary:focus-visible{outline:3px solid var(--accent);"
    "outline-offset:2px;border-radius:4px}\n"
    ".soft,dt,footer{color:var(--soft)}\n"
    ".sums{display:flex;flex-wrap:wrap;gap:.5rem;margin:1rem "
    "0;padding:0;list-style:none}\n"
    ".sums li{background:var(--card);border:1px solid var(--line);border-radius:.6rem;"
    "padding:.4rem .9rem;min-width:5.5rem}\n"
    ".sums b{display:block;font-size:1.25rem;font-variant-numeric:tabular-nums}\n"
    ".sums .bad b{color:var(--bad)}\n"
    "nav{display:flex;flex-wrap:wrap;gap:.4rem;margin:.75rem 0}\n"
    "nav a,nav span{padding:.25rem .75rem;border:1px solid var(--line);"
    "border-radius:99rem;text-decoration:none;background:var(--card);max-width:100%;"
    "overflow:hidden;text-overflow:ellipsis}\n"
    "nav [aria-current]{background:var(--accent);border-color:var(--accent);"
    "color:var(--back);font-weight:600}\n"
    "nav .gap{border:0;background:none;padding:.25rem 0}\n"
    "figure{margin:0;background:var(--card);border:1px solid var(--line);"
    "border-radius:.75rem;overflow:hidden;display:flex;flex-direction:column}\n"
    ".well{display:flex;align-items:center;justify-content:center;"
    "background:var(--well);aspect-ratio:1}\n"
    ".well a{display:flex;width:100%;height:100%;align-items:center;"
    "justify-content:center}\n"
    ".well img{display:block;max-width:100%;max-height:100%;object-fit:contain}\n"
    ".well img.tiny{image-rendering:pixelated;width:100%;height:100%;"
    "object-fit:contain}\n"
    ".well p{padding:1rem;text-align:center;color:var(--bad)}\n"
    "figcaption{padding:.7rem .8rem .8rem;font-size:.875rem}\n"
    "figcaption p{margin:0 0 .35rem;overflow-wrap:anywhere;display:-webkit-box;"
    "-webkit-line-clamp:4;-webkit-box-orient:vertical;overflow:hidden}\n"
    "figcaption .facts{color:var(--soft);font-variant-numeric:tabular-nums}\n"
    "summary{cursor:pointer;color:var(--accent)}\n"
    "dl{display:grid;grid-template-columns:auto 1fr;gap:.15rem .6rem;margin:.5rem 0 0}\n"
    "dd{margin:0;overflow-wrap:anywhere;min-width:0}\n"
    "code{font-family:ui-monospace,monospace;font-size:.85em;overflow-wrap:anywhere}\n"
    ".failed{list-style:none;margin:1rem 0;padding:0;display:grid;gap:.75rem}\n"
    ".failed li{background:var(--card);border:1px solid var(--line);"
    "border-left:.3rem solid var(--bad);border-radius:.6rem;padding:.7rem 1rem}\n"
    ".failed p{margin:.2rem 0;overflow-wrap:anywhere}\n"
    ".failed b{color:var(--bad)}\n"
    "table{border-collapse:collapse;width:100%}\n"
    "th,td{text-align:left;padding:.35rem .75rem .35rem 0;vertical-align:top;"
    "border-bottom:1px solid var(--line)}\n"
    "td.n{font-variant-numeric:tabular-nums}\n"
    "footer{margin-top:2rem;font-size:.85rem}\n";

void cf_html_head(FILE *to, const char *title, int thumb)
{
    fputs("<!DOCTYPE html>\n"
          "<html xmlns=\"http://www.w3.org/1999/xhtml\" lang=\"en\" xml:lang=\"en\">\n"
          "<head>\n<meta charset=\"utf-8\"/>\n"
          "<meta name=\"generator\" content=\"cfgen-jobs gallery\"/>\n"
          "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n"
          "<meta name=\"color-scheme\" content=\"light dark\"/>\n"
          "<meta http-equiv=\"Content-Security-Policy\" content=\"script-src 'none'; "
          "object-src 'none'; base-uri 'none'; form-action 'none'\"/>\n<title>",
          to);
    cf_html_text(to, title, strlen(title), 200);
    fprintf(to,
            "</title>\n<style>\n%s"
            ".grid{display:grid;gap:1rem;margin:1rem 0;grid-template-columns:"
            "repeat(auto-fill,minmax(min(%dpx,100%%),1fr))}\n</style>\n</head>\n<body>\n",
            style, thumb);
}

char *cf_html_way(const char *from, const char *root, struct cf_error *err)
{
    char a[PATH_MAX], b[PATH_MAX], *way, *p;
    size_t common = 0, ups = 0;

    if (!realpath(from, a) || !realpath(root, b)) {
        cf_fail(err, CF_ENOENT, "%s: no such directory", realpath(from, a) ? root : from);
        return NULL;
    }
    /* Whole components alone. */
    for (size_t i = 0;; i++) {
        if ((a[i] == '/' || !a[i]) && (b[i] == '/' || !b[i]))
            common = i;
        if (a[i] != b[i] || !a[i])
            break;
    }
    for (const char *s = a + common; *s; s++)
        ups += *s == '/' && s[1];
    way = p = cf_alloc(3 * ups + strlen(b + common) + 2, 1, err);
    if (!way)
        return NULL;
    for (; ups; ups--)
        p += sprintf(p, "../");
    sprintf(p, "%s%s", b[common] == '/' ? b + common + 1 : b + common,
            b[common] && b[common + 1] ? "/" : "");
    return way;
}
