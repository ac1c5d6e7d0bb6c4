// Array elements as binary formats store them, and their conversion to features and labels.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "data/labels.h"

namespace lockstep {

enum class ElementType { u1, i1, u2, i2, u4, i4, u8, i8, f4, f8 };
enum class ByteOrder { little, big };

struct ElementFormat {
  ElementType type = ElementType::u1;
  ByteOrder order = ByteOrder::little;

  size_t size() const;
  // The machine's own layout of FeatureType::float32.
  bool is_native_float() const;
};

// Converts `out.size()` elements that lie side by side, rounded to float32. Returns the index of
// the first that float32 cannot hold as a finite number (NaN, infinite, too large).
std::optional<size_t> to_float(ElementFormat format, const std::byte* from, std::span<float> out);

// Adds `count` labels that lie side by side.
void to_labels(ElementFormat format, const std::byte* from, size_t count, LabelEncoder& encoder);

}  // namespace lockstep
