// Histoloom for C++17: owners of handles over histoloom.h, exceptions instead of codes, callbacks as std::function.
//
// Licence: MIT OR Apache-2.0.
//
// Every object owns one handle: it moves, does not copy, and releases in its destructor. What a function may throw is Error, whose
// code() is one of HL_E_*. Objects may be used from any thread as the functions of histoloom.h say; one object must not be moved or
// destroyed while another thread uses it. A Context takes its slides, jobs and results
// with it: results outlive their jobs, not their context.

#ifndef HISTOLOOM_HPP
#define HISTOLOOM_HPP

#include <histoloom.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace histoloom {

// A call that failed. what() says what happened, to which input, and what to try.
class Error : public std::runtime_error {
public:
    Error(int32_t code, const std::string &text) : std::runtime_error(std::string(hl_error_name(code)) + ": " + text), code_(code) {}
    int32_t code() const noexcept { return code_; }

private:
    int32_t code_;
};

namespace detail {

inline void check(int32_t code) {
    if (code == HL_OK) return;
    uint64_t needed = 0;
    std::vector<char> said;
    if (hl_last_error(nullptr, 0, &needed) == HL_OK) said.resize(needed);
    throw Error(code, hl_last_error(said.data(), said.size(), &needed) == HL_OK && !said.empty() ? said.data() : "");
}

// A text as C takes it; one with a NUL inside would be cut there without a word.
inline const char *c_text(const std::string &text) {
    if (text.find('\0') != std::string::npos) throw Error(HL_E_ARGUMENT, "a text has a NUL inside");
    return text.c_str();
}

// Asks a function for a size, then for that many bytes; again where it grew in between.
template <class T, class F> std::vector<T> bytes(F f) {
    for (;;) {
        uint64_t needed = 0;
        check(f(nullptr, uint64_t{0}, &needed));
        std::vector<T> out(needed);
        if (needed == 0) return out;
        const int32_t code = f(out.data(), needed, &needed);
        if (code == HL_E_BUFFER) continue;
        check(code);
        out.resize(needed);
        return out;
    }
}

template <class F> std::string text(F f) {
    const std::vector<char> out = bytes<char>(f);
    return out.empty() ? std::string() : std::string(out.data());
}

// A number that names an object of the library, and how it is given back.
template <int32_t (*Release)(uint64_t)> class Handle {
public:
    Handle() = default;
    explicit Handle(uint64_t id) : id_(id) {}
    Handle(Handle &&other) noexcept : id_(std::exchange(other.id_, 0)) {}
    Handle &operator=(Handle &&other) noexcept {
        if (this != &other) {
            Release(id_);
            id_ = std::exchange(other.id_, 0);
        }
        return *this;
    }
    Handle(const Handle &) = delete;
    Handle &operator=(const Handle &) = delete;
    ~Handle() { Release(id_); }
    uint64_t get() const noexcept { return id_; }

private:
    uint64_t id_ = 0;
};

}  // namespace detail

// A picture: channels bytes a pixel, rows without gaps.
struct Picture {
    uint32_t width = 0, height = 0, channels = 0;
    std::vector<uint8_t> pixels;
};

namespace detail {

template <class F> Picture picture(uint32_t channels, F f) {
    Picture out;
    out.channels = channels;
    out.pixels = bytes<uint8_t>([&](uint8_t *dst, uint64_t cap, uint64_t *needed) { return f(dst, cap, needed, &out.width, &out.height); });
    return out;
}

}  // namespace detail

// What a job made.
class Result {
public:
    explicit Result(hl_result id) : handle_(id) {}
    hl_result get() const noexcept { return handle_.get(); }

    std::string json() const { return of(hl_result_json); }
    std::string geojson() const { return of(hl_result_geojson); }
    std::string provenance_json() const { return of(hl_result_provenance_json); }
    // table: "classes" or "k".
    std::string csv(const std::string &table) const {
        return detail::text([&](char *d, uint64_t c, uint64_t *n) { return hl_result_csv(get(), detail::c_text(table), d, c, n); });
    }
    // One byte a cell.
    Picture labels() const { return whole(1, hl_result_labels); }
    // RGBA, one pixel a cell.
    Picture overlay() const { return whole(4, hl_result_overlay); }
    // One byte a pixel of the region, rows as far apart as the region says.
    std::vector<uint8_t> labels(hl_region region) const { return part(region, hl_result_labels_region); }
    // Four bytes a pixel, in the region's format.
    std::vector<uint8_t> overlay(hl_region region) const { return part(region, hl_result_overlay_region); }
    // Synthetic pixels: whoever writes them to a file must say so.
    Picture tile_rgb(uint32_t index) const { return tile(3, index, hl_result_tile_rgb); }
    Picture tile_labels(uint32_t index) const { return tile(1, index, hl_result_tile_labels); }
    std::string tile_json(uint32_t index) const {
        return detail::text([&](char *d, uint64_t c, uint64_t *n) { return hl_result_tile_json(get(), index, d, c, n); });
    }

private:
    template <class F> std::string of(F f) const {
        return detail::text([&](char *d, uint64_t c, uint64_t *n) { return f(get(), d, c, n); });
    }
    template <class F> Picture whole(uint32_t channels, F f) const {
        return detail::picture(channels, [&](uint8_t *d, uint64_t c, uint64_t *n, uint32_t *w, uint32_t *h) { return f(get(), d, c, n, w, h); });
    }
    template <class F> Picture tile(uint32_t channels, uint32_t index, F f) const {
        return detail::picture(channels, [&](uint8_t *d, uint64_t c, uint64_t *n, uint32_t *w, uint32_t *h) { return f(get(), index, d, c, n, w, h); });
    }
    template <class F> std::vector<uint8_t> part(hl_region &region, F f) const {
        region.struct_size = sizeof region;
        return detail::bytes<uint8_t>([&](uint8_t *d, uint64_t c, uint64_t *n) { return f(get(), &region, d, c, n); });
    }
    detail::Handle<hl_result_release> handle_;
};

// A job: queued, running or ended. Forgetting one cancels it.
class Job {
public:
    explicit Job(hl_job id) : handle_(id) {}
    hl_job get() const noexcept { return handle_.get(); }

    hl_progress poll() const {
        hl_progress p{};
        p.struct_size = sizeof p;
        detail::check(hl_job_poll(get(), &p));
        return p;
    }
    // Whether it has ended within that time.
    bool wait(std::chrono::milliseconds time) const {
        const int64_t ms = time.count() < 0 ? 0 : time.count();
        const int32_t code = hl_job_wait(get(), ms < HL_FOREVER ? static_cast<uint32_t>(ms) : HL_FOREVER - 1);
        if (code == HL_E_TIMEOUT) return false;
        detail::check(code);
        return true;
    }
    void cancel() const { detail::check(hl_job_cancel(get())); }
    // The parameters with all defaults.
    std::string params_json() const { return detail::text([&](char *d, uint64_t c, uint64_t *n) { return hl_job_params_json(get(), d, c, n); }); }
    // The newest picture; empty while there is none.
    Picture partial() const {
        return detail::picture(4, [&](uint8_t *d, uint64_t c, uint64_t *n, uint32_t *w, uint32_t *h) { return hl_job_partial(get(), d, c, n, w, h); });
    }
    // Why it failed; empty while it has not.
    std::string error() const { return detail::text([&](char *d, uint64_t c, uint64_t *n) { return hl_job_error(get(), d, c, n); }); }
    // Waits for the end; throws what the job failed with.
    Result result() const {
        detail::check(hl_job_wait(get(), HL_FOREVER));
        hl_result out = 0;
        const int32_t code = hl_job_result(get(), &out);
        if (code == HL_OK) return Result(out);
        const std::string why = error();
        if (!why.empty()) throw Error(code, why);
        detail::check(code);
        return Result(0);
    }

private:
    detail::Handle<hl_job_release> handle_;
};

// A slide as the viewer has it open.
class Slide {
public:
    explicit Slide(hl_slide id) : handle_(id) {}
    hl_slide get() const noexcept { return handle_.get(); }

private:
    detail::Handle<hl_slide_release> handle_;
};

// The host's side. The functions are called on library threads; what they throw does not leave them: a read that throws has failed.
struct Host {
    // Fills dst as the region says (struct hl_region) and returns whether it could.
    std::function<bool(const hl_region &, uint8_t *dst, uint64_t cap)> read_region;
    std::function<void(int32_t level, std::string_view text)> log;
    // Returns whether the job shall go on.
    std::function<bool(hl_job, const hl_progress &)> progress;
    uint32_t max_concurrent_reads = 1;
};

// An instance of the library. Its destructor waits for the last callback, so it must not run inside one.
class Context {
public:
    // models_dir: "" for the weights that came with the library; device: "auto", "cpu", "gpu" or "gpu:N"; threads: 0 is one a core.
    explicit Context(Host host, const std::string &models_dir = "", const std::string &device = "auto", uint32_t threads = 0)
        : host_(std::make_unique<Host>(std::move(host))) {
        if (hl_abi_version() >> 16 != HL_ABI_VERSION >> 16 || hl_abi_version() < HL_ABI_VERSION)
            throw Error(HL_E_ABI, "this libhistoloom has another major version or is older than the header");
        hl_host table{};
        table.struct_size = sizeof table;
        table.abi = HL_ABI_VERSION;
        table.user = host_.get();
        table.max_concurrent_reads = host_->max_concurrent_reads;
        table.read_region = host_->read_region ? &read : nullptr;
        table.log = host_->log ? &log : nullptr;
        table.progress = host_->progress ? &progress : nullptr;
        hl_config config{};
        config.struct_size = sizeof config;
        config.threads = threads;
        config.models_dir = models_dir.empty() ? nullptr : detail::c_text(models_dir);
        config.device = detail::c_text(device);
        config.host = &table;
        hl_context id = 0;
        detail::check(hl_context_create(&config, &id));
        handle_ = detail::Handle<hl_context_release>(id);
    }
    Context(Context &&) = default;
    Context &operator=(Context &&) = delete;  // the old host would go before its last callback
    hl_context get() const noexcept { return handle_.get(); }

    Slide open(hl_slide_desc description) const {
        description.struct_size = sizeof description;
        hl_slide id = 0;
        detail::check(hl_slide_open(get(), &description, &id));
        return Slide(id);
    }
    // params: a JSON object or "".
    Job start(const std::string &kind, const std::string &params, const Slide *slide = nullptr, const Result *input = nullptr) const {
        hl_job id = 0;
        detail::check(hl_job_start(get(), slide ? slide->get() : 0, detail::c_text(kind), detail::c_text(params), input ? input->get() : 0, &id));
        return Job(id);
    }
    std::string doctor_json() const { return detail::text([&](char *d, uint64_t c, uint64_t *n) { return hl_doctor_json(get(), d, c, n); }); }

private:
    static int64_t read(void *user, const hl_region *region, uint8_t *dst, uint64_t cap) noexcept {
        try {
            const bool done = static_cast<Host *>(user)->read_region(*region, dst, cap);
            return done ? static_cast<int64_t>(uint64_t{region->stride_bytes} * region->height_px) : -1;
        } catch (...) {
            return -1;
        }
    }
    static void log(void *user, int32_t level, const char *text) noexcept {
        try {
            static_cast<Host *>(user)->log(level, text);
        } catch (...) {
        }
    }
    static int32_t progress(void *user, hl_job job, const hl_progress *p) noexcept {
        try {
            return static_cast<Host *>(user)->progress(job, *p) ? 0 : 1;
        } catch (...) {
            return 1;
        }
    }
    std::unique_ptr<Host> host_;  // outlives the handle, whose release waits for the last callback
    detail::Handle<hl_context_release> handle_;
};

inline std::string build_info_json() { return detail::text(hl_build_info_json); }
inline std::string devices_json() { return detail::text(hl_devices_json); }
inline std::string ops_json() { return detail::text(hl_ops_json); }
inline std::string op_check_json(const std::string &path) {
    return detail::text([&](char *d, uint64_t c, uint64_t *n) { return hl_op_check_json(detail::c_text(path), d, c, n); });
}
inline std::string params_schema_json(const std::string &kind) {
    return detail::text([&](char *d, uint64_t c, uint64_t *n) { return hl_params_schema_json(detail::c_text(kind), d, c, n); });
}
inline std::string inspect_json(const std::string &path) {
    return detail::text([&](char *d, uint64_t c, uint64_t *n) { return hl_inspect_json(detail::c_text(path), d, c, n); });
}

}  // namespace histoloom

#endif  // HISTOLOOM_HPP
