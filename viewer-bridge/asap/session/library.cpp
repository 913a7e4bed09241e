#include "library.h"

#include <histoloom.h>

#include <QCoreApplication>
#include <QDir>
#include <QFileInfo>
#include <QLibrary>
#include <QStringList>

#include <stdexcept>

namespace {

// Never unloaded: threads of the library may run as long as the process.
QLibrary &opened() {
    static auto *library = new QLibrary;
    return *library;
}

template <class F> F symbol(const char *name) {
    const auto found = reinterpret_cast<F>(opened().resolve(name));
    if (found == nullptr) qFatal("%s was called before libhistoloom was loaded", name);
    return found;
}

QStringList candidates(const QString &file) {
    const QString named = file.isEmpty() ? qEnvironmentVariable("HISTOLOOM_LIBRARY") : file;
    if (!named.isEmpty() && !QFileInfo::exists(named)) throw std::runtime_error(("There is no file " + named).toStdString());
    if (!named.isEmpty()) return {named};
    QStringList out;
    const QDir program(QCoreApplication::applicationDirPath());
    for (const char *place : {".", "../lib", "plugins/workstationextension"}) out << QDir::cleanPath(program.filePath(place) + "/histoloom");
    return out << "histoloom";
}

}  // namespace

namespace histoloom {

QString library_file() { return opened().isLoaded() ? QFileInfo(opened().fileName()).absoluteFilePath() : QString(); }

void load(const QString &file) {
    QLibrary &library = opened();
    if (library.isLoaded()) return;
    QStringList why;
    for (const QString &candidate : candidates(file)) {
        library.setFileName(candidate);
        if (library.load()) break;
        why << library.errorString();
    }
    if (!library.isLoaded()) throw std::runtime_error(why.join('\n').toStdString());
    const auto version = reinterpret_cast<decltype(&hl_abi_version)>(library.resolve("hl_abi_version"));
    if (version != nullptr && version() >> 16 == HL_ABI_VERSION >> 16 && version() >= HL_ABI_VERSION) return;
    library.unload();
    throw std::runtime_error((library.fileName() + " is not a libhistoloom of this version").toStdString());
}

}  // namespace histoloom

// What histoloom.hpp calls.
#define FORWARD(RETURNS, NAME, PARAMETERS, ARGUMENTS)                 \
    RETURNS NAME PARAMETERS {                                         \
        static const auto function = symbol<decltype(&NAME)>(#NAME);  \
        return function ARGUMENTS;                                    \
    }

FORWARD(uint32_t, hl_abi_version, (), ())
FORWARD(const char *, hl_error_name, (int32_t code), (code))
FORWARD(int32_t, hl_last_error, (char *dst, uint64_t cap, uint64_t *needed), (dst, cap, needed))
FORWARD(int32_t, hl_params_schema_json, (const char *kind, char *dst, uint64_t cap, uint64_t *needed), (kind, dst, cap, needed))
FORWARD(int32_t, hl_context_create, (const hl_config *config, hl_context *context), (config, context))
FORWARD(int32_t, hl_context_release, (hl_context context), (context))
FORWARD(int32_t, hl_doctor_json, (hl_context context, char *dst, uint64_t cap, uint64_t *needed), (context, dst, cap, needed))
FORWARD(int32_t, hl_slide_open, (hl_context context, const hl_slide_desc *desc, hl_slide *slide), (context, desc, slide))
FORWARD(int32_t, hl_slide_release, (hl_slide slide), (slide))
FORWARD(int32_t, hl_job_start, (hl_context context, hl_slide slide, const char *kind, const char *params, hl_result input, hl_job *job),
        (context, slide, kind, params, input, job))
FORWARD(int32_t, hl_job_poll, (hl_job job, hl_progress *progress), (job, progress))
FORWARD(int32_t, hl_job_wait, (hl_job job, uint32_t timeout_ms), (job, timeout_ms))
FORWARD(int32_t, hl_job_cancel, (hl_job job), (job))
FORWARD(int32_t, hl_job_partial, (hl_job job, uint8_t *dst, uint64_t cap, uint64_t *needed, uint32_t *width, uint32_t *height),
        (job, dst, cap, needed, width, height))
FORWARD(int32_t, hl_job_error, (hl_job job, char *dst, uint64_t cap, uint64_t *needed), (job, dst, cap, needed))
FORWARD(int32_t, hl_job_result, (hl_job job, hl_result *result), (job, result))
FORWARD(int32_t, hl_job_release, (hl_job job), (job))
FORWARD(int32_t, hl_result_json, (hl_result result, char *dst, uint64_t cap, uint64_t *needed), (result, dst, cap, needed))
FORWARD(int32_t, hl_result_labels, (hl_result result, uint8_t *dst, uint64_t cap, uint64_t *needed, uint32_t *columns, uint32_t *rows),
        (result, dst, cap, needed, columns, rows))
FORWARD(int32_t, hl_result_overlay_region, (hl_result result, const hl_region *region, uint8_t *dst, uint64_t cap, uint64_t *needed),
        (result, region, dst, cap, needed))
FORWARD(int32_t, hl_result_tile_rgb,
        (hl_result result, uint32_t index, uint8_t *dst, uint64_t cap, uint64_t *needed, uint32_t *width, uint32_t *height),
        (result, index, dst, cap, needed, width, height))
FORWARD(int32_t, hl_result_tile_json, (hl_result result, uint32_t index, char *dst, uint64_t cap, uint64_t *needed),
        (result, index, dst, cap, needed))
FORWARD(int32_t, hl_result_release, (hl_result result), (result))
