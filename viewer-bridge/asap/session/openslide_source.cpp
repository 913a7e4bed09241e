#include "openslide_source.h"

#include <openslide.h>

#include <QFileInfo>

#include <stdexcept>

namespace histoloom {

namespace {

std::shared_ptr<openslide_t> opened(const QString &file) {
    std::shared_ptr<openslide_t> slide(openslide_open(QFile::encodeName(file).constData()), [](openslide_t *s) {
        if (s != nullptr) openslide_close(s);
    });
    if (!slide) throw std::runtime_error("OpenSlide does not read this kind of file");
    if (const char *why = openslide_get_error(slide.get())) throw std::runtime_error(why);
    return slide;
}

double mpp_of(openslide_t *slide, const char *property) {
    const char *text = openslide_get_property_value(slide, property);
    return text == nullptr ? 0.0 : QByteArray(text).toDouble();
}

}  // namespace

OpenSlideSource::OpenSlideSource(const QString &file) : slide_(opened(file)) {
    path = file;
    name = QFileInfo(file).fileName();
    int64_t columns = 0, rows = 0;
    openslide_get_level0_dimensions(slide_.get(), &columns, &rows);
    width = columns;
    height = rows;
    for (int level = 0; level < openslide_get_level_count(slide_.get()); level++)
        downsamples.push_back(openslide_get_level_downsample(slide_.get(), level));
    mpp = mpp_of(slide_.get(), OPENSLIDE_PROPERTY_NAME_MPP_X);
    mpp_y = mpp_of(slide_.get(), OPENSLIDE_PROPERTY_NAME_MPP_Y);
}

// After an error OpenSlide reads nothing more, so the file is opened anew: a share may be there again.
QImage OpenSlideSource::level_region(int level, qint64 x, qint64 y, int w, int h) const {
    std::unique_lock<std::mutex> held(lock_);
    if (openslide_get_error(slide_.get()) != nullptr) slide_ = opened(path);
    const auto slide = slide_;
    held.unlock();
    QImage out(w, h, QImage::Format_ARGB32_Premultiplied);
    openslide_read_region(slide.get(), reinterpret_cast<uint32_t *>(out.bits()), x, y, level, w, h);
    if (const char *why = openslide_get_error(slide.get())) throw std::runtime_error(why);
    return out;
}

}  // namespace histoloom
