#include "session.h"

#include "library.h"

#include <QDir>
#include <QFile>
#include <QDirIterator>
#include <QFileInfo>
#include <QJsonArray>
#include <QJsonDocument>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <stdexcept>
#include <utility>

namespace histoloom {

namespace {

constexpr int POLL_MS = 50;
constexpr int PARTIAL_MS = 250;
// Side of a cell of flags, in pixels of a tile.
constexpr int FLAG_CELL_PX = 32;

QJsonObject object(const std::string &json) { return QJsonDocument::fromJson(QByteArray::fromStdString(json)).object(); }

std::string text(const QJsonObject &json) { return QJsonDocument(json).toJson(QJsonDocument::Compact).toStdString(); }

QImage image(const Picture &picture, QImage::Format format) {
    const auto stride = static_cast<qsizetype>(picture.width) * picture.channels;
    return QImage(picture.pixels.data(), static_cast<int>(picture.width), static_cast<int>(picture.height), stride, format).copy();
}

OverlayReader reader_of(const std::shared_ptr<const Result> &map) {
    return [map](qint64 x, qint64 y, double downsample, int width, int height) {
        hl_region region{};
        region.pixel_format = HL_PIXEL_BGRA8_PRE;
        region.x_px = x;
        region.y_px = y;
        region.downsample = downsample;
        region.width_px = static_cast<uint32_t>(width);
        region.height_px = static_cast<uint32_t>(height);
        const std::vector<uint8_t> pixels = map->overlay(region);
        return QImage(pixels.data(), width, height, width * 4, QImage::Format_ARGB32_Premultiplied).copy();
    };
}

// One pixel is side x side level-0 pixels.
OverlayReader reader_of(const QImage &picture, double side) {
    return [picture, side](qint64 x, qint64 y, double downsample, int width, int height) {
        QImage out(width, height, QImage::Format_ARGB32_Premultiplied);
        out.fill(Qt::transparent);
        for (int v = 0; v < height; v++)
            for (int u = 0; u < width; u++) {
                const int column = static_cast<int>((static_cast<double>(x) + (u + 0.5) * downsample) / side);
                const int row = static_cast<int>((static_cast<double>(y) + (v + 0.5) * downsample) / side);
                if (picture.valid(column, row)) out.setPixel(u, v, picture.pixel(column, row));
            }
        return out;
    };
}

SyntheticTile tile_of(const Result &result, uint32_t index) {
    SyntheticTile tile;
    tile.picture = image(result.tile_rgb(index), QImage::Format_RGB888);
    const QJsonObject told = object(result.tile_json(index));
    tile.calibrated = told["calibrated"].toBool();
    for (const auto &flag : told["flags"].toArray()) {
        const QString reason = flag[QLatin1String("code")].toString() + ": " + flag[QLatin1String("reason")].toString();
        if (!tile.reasons.contains(reason)) tile.reasons << reason;
        const QJsonArray cell = flag[QLatin1String("cell")].toArray();
        if (cell.size() != 2) tile.flagged_whole = true;
        else tile.flagged += QRect(cell[1].toInt() * FLAG_CELL_PX, cell[0].toInt() * FLAG_CELL_PX, FLAG_CELL_PX, FLAG_CELL_PX);
    }
    return tile;
}

// What kind of trouble an error of the library is, for the head of a message.
QString title_of(const Error &error) {
    const QString what = error.what();
    switch (error.code()) {
        case HL_E_WEIGHTS: return Session::tr("Models missing");
        case HL_E_DEVICE: return Session::tr("Device not usable");
        case HL_E_HOST: return Session::tr("Slide cannot be read");
        case HL_E_MEMORY: return Session::tr("Out of memory");
        case HL_E_SLIDE:
            if (what.contains("no tissue")) return Session::tr("No tissue found");
            if (what.contains("resolution")) return Session::tr("Resolution unknown");
            return Session::tr("Slide not suitable");
        default: return Session::tr("That did not work");
    }
}

}  // namespace

Session::Session(Setup setup, QObject *parent) : QObject(parent), setup_(std::move(setup)) {
    timer_.setInterval(POLL_MS);
    connect(&timer_, &QTimer::timeout, this, &Session::poll);
}

Session::~Session() {
    forget();
    for (QThread *doctor : std::as_const(doctors_)) doctor->wait();
}

void Session::forget() {
    timer_.stop();
    doctor_ = nullptr;
    job_.reset();
    overlay_ = nullptr;
    map_.reset();
    opened_.reset();
    source_.reset();
    legend_.clear();
    without_cells_.clear();
    gallery_.clear();
    then_.reset();
    out_.reset();
    map_files_.reset();
    tile_files_.reset();
}

void Session::open(std::shared_ptr<SlideSource> slide) {
    const bool ends = busy(), refused = !refused_.isEmpty();
    forget();
    source_ = std::move(slide);
    refused_.clear();
    if (ends) emit ended(tr("Ended with its slide."));
    else if (refused) emit ended(tr("Nothing is running."));
    emit overlay_changed();
    emit map_changed();
    emit gallery_changed();
}

void Session::refuse(const QString &why) {
    open(nullptr);
    refused_ = why;
    emit ended(why);
}

void Session::no_slide() {
    if (refused_.isEmpty()) emit failed(tr("No slide open"), tr("Open a slide first; then its tissue can be clustered, and tiles made from its map."));
    else emit failed(tr("Slide not suitable"), refused_);
}

void Session::set_up(const Setup &setup) {
    const auto slide = source_;
    const QString refused = refused_;
    open(nullptr);
    for (QThread *doctor : std::as_const(doctors_)) doctor->wait();
    context_.reset();
    setup_ = setup;
    if (refused.isEmpty()) open(slide);
    else refuse(refused);
}

Context &Session::context() {
    if (context_) return *context_;
    load(setup_.library);
    Host host;
    host.read_region = [this](const hl_region &r, uint8_t *dst, uint64_t) {
        const QImage read = source_->region(r.x_px, r.y_px, r.downsample, static_cast<int>(r.width_px), static_cast<int>(r.height_px));
        for (uint32_t row = 0; row < r.height_px; row++)
            std::memcpy(dst + size_t{row} * r.stride_bytes, read.constScanLine(static_cast<int>(row)), size_t{4} * r.width_px);
        return true;
    };
    context_.emplace(std::move(host), setup_.models.toStdString(), setup_.device.toStdString(), setup_.threads);
    return *context_;
}

QJsonObject Session::schema(const QString &kind) {
    QJsonObject out;
    guarded([&] {
        load(setup_.library);
        out = object(detail::text([&](char *d, uint64_t c, uint64_t *n) { return hl_params_schema_json(kind.toUtf8().constData(), d, c, n); }));
    });
    return out;
}

void Session::report(const std::exception &error) {
    if (const auto *known = dynamic_cast<const Error *>(&error)) {
        QString what = known->what();
        what = what.mid(what.indexOf(": ") + 2);
        if (known->code() == HL_E_WEIGHTS) what += tr("\nThe folder is set with Models folder..., or by HISTOLOOM_MODELS.");
        emit failed(title_of(*known), what);
    } else if (library_file().isEmpty()) {
        emit failed(tr("Histoloom library not found"),
                    tr("Choose libhistoloom with Load library..., or set HISTOLOOM_LIBRARY.\n%1").arg(error.what()));
    } else {
        emit failed(tr("That did not work"), error.what());
    }
}

void Session::guarded(const std::function<void()> &action) {
    try {
        action();
    } catch (const std::exception &error) {
        report(error);
    }
}

// Lends the slide to the library once.
const Slide &Session::lent(const Context &library) {
    if (opened_) return *opened_;
    hl_slide_desc d{};
    const QByteArray name = source_->name.toUtf8(), id = source_->path.toUtf8();
    d.pixel_format = HL_PIXEL_BGRA8_PRE;
    d.width_px = static_cast<uint64_t>(source_->width);
    d.height_px = static_cast<uint64_t>(source_->height);
    d.downsamples = source_->downsamples.data();
    d.levels = static_cast<uint32_t>(source_->downsamples.size());
    d.mpp_x = source_->mpp;
    d.mpp_y = source_->mpp_y;
    d.background_rgb = 0xffffff;
    d.name = name.constData();
    d.id = id.constData();
    opened_ = library.open(d);
    return *opened_;
}

bool Session::start(Kind kind, const QJsonObject &parameters) {
    if (busy()) return emit failed(tr("Busy"), tr("Wait for the job that is running, or cancel it.")), false;
    guarded([&] {
        const Context &library = context();
        auto files = std::make_unique<Folder>(parameters["out_dir"].toString());
        QJsonObject given = parameters;
        given["out_dir"] = files->path();
        job_ = kind == Kind::Cluster ? library.start("cluster", text(given), &lent(library)) : library.start("synth", text(given), nullptr, map_.get());
        out_ = std::move(files);
        kind_ = kind;
        partial_.clear();
        since_partial_.start();
        timer_.start();
        emit progressed(tr("waiting"), -1, -1);
    });
    return busy();
}

void Session::cluster(const QJsonObject &parameters) {
    if (!source_) return no_slide();
    start(Kind::Cluster, parameters);
}

void Session::synthesise(const QJsonObject &parameters) {
    if (!source_) return no_slide();
    if (!map_) return emit failed(tr("No map yet"), tr("Cluster the slide first; tiles are made from its map."));
    start(Kind::Synthesise, parameters);
}

void Session::generate(const QJsonObject &parameters) {
    if (!source_) return no_slide();
    QJsonObject map, tiles = parameters;
    for (const char *name : {"annotations", "mpp"})
        if (const QJsonValue value = tiles.take(QLatin1String(name)); !value.isUndefined()) map[QLatin1String(name)] = value;
    map["seed"] = tiles["seed"].toInt(1);
    if (const QString folder = tiles["out_dir"].toString(); !folder.isEmpty()) {  // as the command `generate` names them
        map["out_dir"] = folder + "/map";
        tiles["out_dir"] = folder + "/tiles";
    }
    if (start(Kind::Cluster, map)) then_ = tiles;
}

QString Session::likelihood_map_file() const {
    if (!source_ || source_->path.isEmpty()) return {};
    const QFileInfo slide(source_->path);
    return slide.absoluteDir().filePath(slide.completeBaseName() + "_likelihood_map.tif");
}

// The map that is there goes once the new one lies beside it.
void Session::save_likelihood_map() {
    if (!map_) return emit failed(tr("No map yet"), tr("Cluster the slide first; then its map can be saved."));
    const QString to = likelihood_map_file(), part = to + ".part";
    QFile::remove(part);
    const bool copied = QFile::copy(map_files_->file("labels_likelihood_map.tif"), part);
    const bool done = copied && (!QFile::exists(to) || QFile::remove(to)) && QFile::rename(part, to);
    if (!done) QFile::remove(part);
    if (!done) return emit failed(tr("Map not saved"), tr("%1 cannot be written; is the slide's folder read-only?").arg(to));
    if (!busy()) emit ended(tr("The map lies beside the slide."));
}

QString Session::page_of(const std::unique_ptr<Folder> &files) {
    const QString page = files ? files->file("report.html") : QString();
    return QFileInfo::exists(page) ? page : QString();
}

void Session::export_tiles(const QString &folder) {
    if (!tile_files_) return emit failed(tr("No tiles yet"), tr("Synthesise tiles first; then they can be exported."));
    const QDir from(tile_files_->path()), to(folder);
    if (to.exists("manifest.json")) return emit failed(tr("Tiles not exported"), tr("%1 holds tiles already. Choose another folder.").arg(folder));
    QDirIterator files(from.path(), QDir::Files, QDirIterator::Subdirectories);
    while (files.hasNext()) {
        const QString file = files.next(), target = to.filePath(from.relativeFilePath(file));
        if (!QDir().mkpath(QFileInfo(target).path()) || !QFile::copy(file, target))
            return emit failed(tr("Tiles not exported"), tr("%1 cannot be written, or is there already.").arg(target));
    }
    emit ended(tr("The tiles are in %1.").arg(folder));
}

QString Session::atlas_file() const {
    const QDir beside = QFileInfo(library_file()).dir();
    for (const QString &models : {setup_.models, beside.filePath("../share/histoloom/models"), beside.filePath("models")}) {
        const QFileInfo atlas(QDir(models), "he_atlas.json");
        if (!models.isEmpty() && atlas.isFile()) return atlas.canonicalFilePath();
    }
    return {};
}

void Session::cancel() {
    if (job_) guarded([&] { job_->cancel(); });
    if (doctor_ == nullptr) return;
    doctor_ = nullptr;
    emit ended(tr("Cancelled."));
}

void Session::poll() {
    if (!job_) return timer_.stop();
    try {
        const hl_progress now = job_->poll();
        if (now.state != HL_JOB_QUEUED && now.state != HL_JOB_RUNNING) return finish();
        emit progressed(now.stage, now.fraction, now.eta_s);
    } catch (const std::exception &error) {  // once: nothing can be asked of it any more
        timer_.stop();
        job_.reset();
        return take_failure(error);
    }
    try {
        if (kind_ == Kind::Cluster && since_partial_.hasExpired(PARTIAL_MS)) take_partial();
    } catch (const std::exception &error) {  // the next one may come
        qWarning("no picture so far: %s", error.what());
    }
}

void Session::take_partial() {
    since_partial_.start();
    Picture seen = job_->partial();
    if (seen.pixels.empty() || seen.pixels == partial_) return;
    const double side = std::max(static_cast<double>(source_->width) / seen.width, static_cast<double>(source_->height) / seen.height);
    overlay_ = reader_of(image(seen, QImage::Format_RGBA8888).convertToFormat(QImage::Format_ARGB32_Premultiplied), side);
    partial_ = std::move(seen.pixels);
    emit overlay_changed();
}

void Session::finish() {
    timer_.stop();
    const Job job = std::move(*job_);
    job_.reset();
    try {
        Result result = job.result();
        if (kind_ == Kind::Cluster) take_map(std::move(result));
        else take_tiles(result);
    } catch (const std::exception &error) {
        return take_failure(error);
    }
    if (kind_ == Kind::Cluster && then_) {
        if (!start(Kind::Synthesise, *std::exchange(then_, std::nullopt))) emit ended(tr("The map is there, tiles are not."));
        return;
    }
    const auto &files = kind_ == Kind::Cluster ? map_files_ : tile_files_;
    emit ended(files->chosen() ? tr("Done. The files are in %1.").arg(files->path()) : tr("Done."));
}

void Session::take_failure(const std::exception &error) {
    const auto *known = dynamic_cast<const Error *>(&error);
    const bool cancelled = known != nullptr && known->code() == HL_E_CANCELLED;
    out_.reset();
    then_.reset();
    if (kind_ == Kind::Cluster) {  // no half-made map stays on the screen
        overlay_ = map_ ? reader_of(map_) : nullptr;
        emit overlay_changed();
    }
    if (!cancelled) report(error);
    emit ended(cancelled ? tr("Cancelled.") : tr("Failed."));
}

void Session::take_map(Result result) {
    map_ = std::make_shared<const Result>(std::move(result));
    map_files_ = std::move(out_);
    const QJsonObject map = object(map_->json())["map"].toObject();
    cell_px_ = map["cell_px"].toDouble();
    legend_.clear();
    without_cells_.clear();
    for (const auto &c : map["classes"].toArray()) {
        const QJsonArray rgb = c[QLatin1String("color")].toArray();
        legend_.push_back({c[QLatin1String("id")].toInt(), c[QLatin1String("name")].toString(),
                           QColor(rgb[0].toInt(), rgb[1].toInt(), rgb[2].toInt()), c[QLatin1String("share")].toDouble()});
    }
    for (const auto &c : map["without_cells"].toArray()) without_cells_.push_back({c[QLatin1String("name")].toString(), c[QLatin1String("reason")].toString()});
    overlay_ = reader_of(map_);
    gallery_.clear();
    tile_files_.reset();
    emit overlay_changed();
    emit map_changed();
    emit gallery_changed();
}

void Session::take_tiles(const Result &result) {
    tile_files_ = std::move(out_);
    gallery_.clear();
    const QJsonObject made = object(result.json());
    const int kept = made["kept"].toInt();
    tiles_not_shown_ = static_cast<int>(made["tiles"].toArray().size()) - kept;
    for (int i = 0; i < kept; i++) gallery_.push_back(tile_of(result, static_cast<uint32_t>(i)));
    emit gallery_changed();
}

QImage Session::labels() const { return map_ ? image(map_->labels(), QImage::Format_Grayscale8) : QImage(); }

void Session::doctor() {
    if (busy()) return emit failed(tr("Busy"), tr("Wait for the job that is running, or cancel it."));
    guarded([&] {
        auto said = std::make_shared<std::string>();
        doctor_ = QThread::create([library = context().get(), said] {
            try {
                *said = detail::text([&](char *d, uint64_t c, uint64_t *n) { return hl_doctor_json(library, d, c, n); });
            } catch (const std::exception &error) {
                *said = text({{"missing", QJsonArray{error.what()}}});
            }
        });
        doctor_->setParent(this);
        doctors_ += doctor_;
        connect(doctor_, &QThread::finished, this, [this, said, thread = doctor_] {
            doctors_.removeOne(thread);
            thread->deleteLater();
            if (doctor_ != thread) return;
            doctor_ = nullptr;
            emit ended(tr("Done."));
            QJsonObject report = object(*said);
            if (!report["library"].isObject()) report["library"] = QJsonObject{{"path", library_file()}};
            emit doctor_said(report);
        });
        emit progressed(tr("loading every network once"), -1, -1);
        doctor_->start();
    });
}

}  // namespace histoloom
