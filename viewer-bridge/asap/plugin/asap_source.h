// The slide that ASAP has open, read through its MultiResolutionImage.
#pragma once

#include "source.h"

#include <memory>

class MultiResolutionImage;

namespace histoloom {

class AsapSource final : public SlideSource {
public:
    // Throws std::runtime_error where it is not an RGB image of bytes.
    AsapSource(std::weak_ptr<MultiResolutionImage> image, const QString &file);

protected:
    QImage level_region(int level, qint64 x, qint64 y, int width, int height) const override;

private:
    std::weak_ptr<MultiResolutionImage> image_;
};

}  // namespace histoloom
