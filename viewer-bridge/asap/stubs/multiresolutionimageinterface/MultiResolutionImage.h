// Stub. Upstream: multiresolutionimageinterface/MultiResolutionImage.h and core/ImageSource.h, ASAP 2.2.0 (b1bf355). What is pure here has a
// body there; readDataFromImage is pure in both.
#pragma once

#include "core/PathologyEnums.h"

#include <string>
#include <vector>

class MultiResolutionImage {
public:
    virtual ~MultiResolutionImage() = default;
    virtual pathology::ColorType getColorType() const = 0;
    virtual pathology::DataType getDataType() const = 0;
    virtual int getSamplesPerPixel() const = 0;
    virtual std::vector<double> getSpacing() const = 0;
    virtual int getNumberOfLevels() const = 0;
    virtual std::vector<unsigned long long> getDimensions() const = 0;
    virtual double getLevelDownsample(const unsigned int &level) const = 0;

    // Takes data, which new[] made, and leaves another array there, or NULL where nothing was read. Start in level-0 pixels.
    template <typename T>
    void getRawRegion(const long long &startX, const long long &startY, const unsigned long long &width, const unsigned long long &height,
                      const unsigned int &level, T *&data);

protected:
    virtual void *readDataFromImage(const long long &startX, const long long &startY, const unsigned long long &width,
                                    const unsigned long long &height, const unsigned int &level) = 0;
};

template <>
inline void MultiResolutionImage::getRawRegion(const long long &startX, const long long &startY, const unsigned long long &width,
                                               const unsigned long long &height, const unsigned int &level, unsigned char *&data) {
    delete[] data;
    data = static_cast<unsigned char *>(readDataFromImage(startX, startY, width, height, level));
}
