#include "textenc/spm.h"

#include <sentencepiece_processor.h>

#include <cstring>
#include <exception>
#include <memory>
#include <mutex>
#include <new>
#include <string>
#include <vector>

extern "C" {
#include "base/alloc.h"
#include "base/file.h"
}

/* Not in the public header, and in this namespace only in some versions: called where it
 * is there. A library may not write to stderr on its own. */
namespace sentencepiece
{
namespace logging
{
void SetMinLogLevel(int level) __attribute__((weak));
}
} // namespace sentencepiece

using sentencepiece::SentencePieceProcessor;

struct cf_spm {
    SentencePieceProcessor sp;
};

namespace
{

std::once_flag quiet_once;

void be_quiet()
{
    const int only_fatal = 3;

    if (&sentencepiece::logging::SetMinLogLevel)
        sentencepiece::logging::SetMinLogLevel(only_fatal);
}

/* Runs f, which returns a status, and turns what it throws into one. */
template <typename F> cf_status guard(cf_error *err, F f)
{
    try {
        return f();
    } catch (const std::bad_alloc &) {
        return cf_fail(err, CF_ENOMEM, "SentencePiece: out of memory");
    } catch (const std::exception &e) {
        return cf_fail(err, CF_EFORMAT, "SentencePiece: %s", e.what());
    } catch (...) {
        return cf_fail(err, CF_EFORMAT, "SentencePiece: unknown exception");
    }
}

cf_status status_of(const sentencepiece::util::Status &st, const char *where,
                    cf_error *err)
{
    if (st.ok())
        return CF_OK;
    return cf_fail(err, CF_EFORMAT,
                   "%s: no SentencePiece model, or cut short: its library says: %s",
                   where, st.error_message());
}

bool in_range(const cf_spm *spm, int32_t id)
{
    return id >= 0 && id < spm->sp.GetPieceSize();
}

} // namespace

enum cf_status cf_spm_open_mem(struct cf_spm **spm, const void *data, size_t size,
                               const char *where, struct cf_error *err)
{
    *spm = nullptr;
    if (size > CF_SPM_MAX_FILE)
        return cf_fail(err, CF_EFORMAT, "%s: %zu bytes, at most %d expected", where, size,
                       CF_SPM_MAX_FILE);
    /* An empty message parses; SentencePiece would then miss its unk piece. */
    if (cf_file_no_download(data, size, where, err) != CF_OK)
        return CF_EFORMAT;
    return guard(err, [&] {
        std::call_once(quiet_once, be_quiet);
        std::unique_ptr<cf_spm> made(new cf_spm);
        cf_status st = status_of(made->sp.LoadFromSerializedProto(absl::string_view(
                                     static_cast<const char *>(data), size)),
                                 where, err);

        if (st == CF_OK && made->sp.GetPieceSize() <= 0)
            st = cf_fail(err, CF_EFORMAT, "%s: no pieces", where);
        if (st == CF_OK)
            *spm = made.release();
        return st;
    });
}

enum cf_status cf_spm_open(struct cf_spm **spm, const char *path, struct cf_error *err)
{
    size_t size;
    char *data = cf_file_read(path, CF_SPM_MAX_FILE, &size, err);
    cf_status st;

    *spm = nullptr;
    if (!data)
        return err ? err->status : CF_EFORMAT;
    st = cf_spm_open_mem(spm, data, size, path, err);
    cf_free(data);
    return st;
}

void cf_spm_close(struct cf_spm *spm)
{
    delete spm;
}

enum cf_status cf_spm_encode(const struct cf_spm *spm, const char *text, size_t len,
                             bool add_bos, bool add_eos, int32_t *ids, size_t cap,
                             size_t *n, struct cf_error *err)
{
    *n = 0;
    if (len > CF_SPM_MAX_TEXT)
        return cf_fail(err, CF_ERANGE, "text of %zu bytes, at most %d", len,
                       CF_SPM_MAX_TEXT);
    if ((add_bos && spm->sp.bos_id() < 0) || (add_eos && spm->sp.eos_id() < 0))
        return cf_fail(err, CF_EUNSUP, "the SentencePiece model has no %s piece",
                       add_bos && spm->sp.bos_id() < 0 ? "bos" : "eos");
    return guard(err, [&] {
        std::vector<int> found;
        cf_status st = status_of(spm->sp.Encode(absl::string_view(text, len), &found),
                                 "encode", err);
        auto put = [&](int id) {
            if (*n < cap)
                ids[*n] = id;
            ++*n;
        };

        if (st != CF_OK)
            return st;
        if (add_bos)
            put(spm->sp.bos_id());
        for (int id : found)
            put(id);
        if (add_eos)
            put(spm->sp.eos_id());
        return CF_OK;
    });
}

enum cf_status cf_spm_decode(const struct cf_spm *spm, const int32_t *ids, size_t n,
                             char **text, size_t *len, struct cf_error *err)
{
    for (size_t i = 0; i < n; i++)
        if (!in_range(spm, ids[i]))
            return cf_fail(err, CF_ERANGE, "id %d at %zu, expected 0..%d",
                           static_cast<int>(ids[i]), i, spm->sp.GetPieceSize() - 1);
    return guard(err, [&] {
        std::vector<int> in(ids, ids + n);
        std::string out;
        cf_status st = status_of(spm->sp.Decode(in, &out), "decode", err);

        if (st != CF_OK)
            return st;
        *text = cf_strndup(out.data(), out.size(), err);
        *len = out.size();
        return *text ? CF_OK : CF_ENOMEM;
    });
}

int32_t cf_spm_size(const struct cf_spm *spm)
{
    return spm->sp.GetPieceSize();
}

const char *cf_spm_piece(const struct cf_spm *spm, int32_t id, size_t *len)
{
    *len = 0;
    if (!in_range(spm, id))
        return nullptr;
    const std::string &piece = spm->sp.IdToPiece(id);

    *len = piece.size();
    return piece.data();
}

int32_t cf_spm_id(const struct cf_spm *spm, const char *piece, size_t len)
{
    int id = spm->sp.PieceToId(absl::string_view(piece, len));

    if (!in_range(spm, id))
        return -1;
    const std::string &own = spm->sp.IdToPiece(id);

    return own.size() == len && memcmp(own.data(), piece, len) == 0 ? id : -1;
}

float cf_spm_score(const struct cf_spm *spm, int32_t id)
{
    return in_range(spm, id) ? spm->sp.GetScore(id) : 0.0f;
}

int32_t cf_spm_bos(const struct cf_spm *spm)
{
    return spm->sp.bos_id();
}

int32_t cf_spm_eos(const struct cf_spm *spm)
{
    return spm->sp.eos_id();
}

int32_t cf_spm_pad(const struct cf_spm *spm)
{
    return spm->sp.pad_id();
}

int32_t cf_spm_unk(const struct cf_spm *spm)
{
    return spm->sp.unk_id();
}

bool cf_spm_is_unknown(const struct cf_spm *spm, int32_t id)
{
    return in_range(spm, id) && spm->sp.IsUnknown(id);
}

bool cf_spm_is_control(const struct cf_spm *spm, int32_t id)
{
    return in_range(spm, id) && spm->sp.IsControl(id);
}

bool cf_spm_is_byte(const struct cf_spm *spm, int32_t id)
{
    return in_range(spm, id) && spm->sp.IsByte(id);
}
