#include "asap_source.h"

#include <multiresolutionimageinterface/MultiResolutionImage.h>

#include <QFileInfo>

#include <stdexcept>

namespace histoloom {

AsapSource::AsapSource(std::weak_ptr<MultiResolutionImage> image, const QString &file) : image_(std::move(image)) {
    const auto open = image_.lock();
    if (!open) throw std::runtime_error("the slide is closed");
    const auto color = open->getColorType();
    if (open->getDataType() != pathology::DataType::UChar || (color != pathology::ColorType::RGB && color != pathology::ColorType::RGBA))
        throw std::runtime_error("This slide is not an RGB (H&E) slide of 8 bits a channel, so Histoloom cannot work on it.");
    path = file;
    name = QFileInfo(file).fileName();
    const auto size = open->getDimensions();
    width = static_cast<qint64>(size.at(0));
    height = static_cast<qint64>(size.at(1));
    for (int level = 0; level < open->getNumberOfLevels(); level++) downsamples.push_back(open->getLevelDownsample(static_cast<unsigned>(level)));
    const auto spacing = open->getSpacing();
    mpp = spacing.empty() ? 0.0 : spacing.front();
    mpp_y = spacing.empty() ? 0.0 : spacing.back();
}

QImage AsapSource::level_region(int level, qint64 x, qint64 y, int w, int h) const {
    const auto open = image_.lock();
    if (!open) throw std::runtime_error("the slide is closed");
    const int channels = open->getSamplesPerPixel();
    auto *raw = new unsigned char[static_cast<size_t>(w) * static_cast<size_t>(h) * static_cast<size_t>(channels)];
    const auto columns = static_cast<unsigned long long>(w), rows = static_cast<unsigned long long>(h);
    open->getRawRegion<unsigned char>(x, y, columns, rows, static_cast<unsigned>(level), raw);
    const std::unique_ptr<unsigned char[]> pixels(raw);
    if (!pixels) throw std::runtime_error("ASAP could not read the slide");
    const auto format = channels == 4 ? QImage::Format_RGBA8888 : QImage::Format_RGB888;
    return QImage(pixels.get(), w, h, static_cast<qsizetype>(w) * channels, format).convertToFormat(QImage::Format_ARGB32_Premultiplied);
}

}  // namespace histoloom
