#include "source.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace histoloom {

// Pixels of a level that are held at once.
constexpr double MOST_PX = 4e6;

QImage SlideSource::region(qint64 x, qint64 y, double downsample, int width, int height) const {
    int level = 0;
    while (level + 1 < static_cast<int>(downsamples.size()) && downsamples[level + 1] <= downsample * 1.001) level++;
    const double scale = std::max(1.0, downsample / downsamples[level]);
    QImage out(width, height, QImage::Format_ARGB32_Premultiplied);
    const int strip = std::clamp(static_cast<int>(MOST_PX / (width * scale * scale)), 1, height);
    for (int row = 0; row < height; row += strip) {
        const int rows = std::min(strip, height - row);
        const auto from = y + static_cast<qint64>(std::llround(row * downsample));
        const QImage read = level_region(level, x, from, static_cast<int>(std::lround(width * scale)), static_cast<int>(std::lround(rows * scale)))
                                .scaled(width, rows, Qt::IgnoreAspectRatio, Qt::SmoothTransformation)
                                .convertToFormat(QImage::Format_ARGB32_Premultiplied);
        for (int i = 0; i < rows; i++) std::memcpy(out.scanLine(row + i), read.constScanLine(i), size_t{4} * static_cast<size_t>(width));
    }
    return out;
}

}  // namespace histoloom
