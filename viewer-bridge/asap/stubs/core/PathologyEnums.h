// Stub. Upstream: core/PathologyEnums.h, ASAP 2.2.0 (b1bf355).
#pragma once

namespace pathology {

enum class ColorType { InvalidColorType, Monochrome, RGB, RGBA, Indexed };
enum class DataType { InvalidDataType, UChar, UInt16, UInt32, Float };

}  // namespace pathology
