// A slide through OpenSlide.
#pragma once

#include "source.h"

#include <memory>
#include <mutex>

typedef struct _openslide openslide_t;

namespace histoloom {

class OpenSlideSource final : public SlideSource {
public:
    // Throws std::runtime_error with what OpenSlide says.
    explicit OpenSlideSource(const QString &path);

protected:
    QImage level_region(int level, qint64 x, qint64 y, int width, int height) const override;

private:
    mutable std::mutex lock_;
    mutable std::shared_ptr<openslide_t> slide_;
};

}  // namespace histoloom
