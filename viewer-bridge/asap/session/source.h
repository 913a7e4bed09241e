// A slide as a viewer has it open. In: regions of one of its levels. Out: regions at any downsample. Coordinates are level-0 pixels.
#pragma once

#include <QImage>
#include <QString>

#include <vector>

namespace histoloom {

class SlideSource {
public:
    virtual ~SlideSource() = default;

    // Any place, any downsample from 1: the next finer level, averaged. Format_ARGB32_Premultiplied. Throws std::runtime_error.
    QImage region(qint64 x, qint64 y, double downsample, int width, int height) const;

    QString path, name;
    qint64 width = 0, height = 0;
    std::vector<double> downsamples;
    double mpp = 0, mpp_y = 0;  // micrometres a level-0 pixel along x and y, 0 = not known

protected:
    // x and y in level-0 pixels, width and height in pixels of the level. Called from several threads at once.
    virtual QImage level_region(int level, qint64 x, qint64 y, int width, int height) const = 0;
};

}  // namespace histoloom
