#include "data/element.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <type_traits>

namespace lockstep {
namespace {

constexpr ByteOrder kNative =
    std::endian::native == std::endian::little ? ByteOrder::little : ByteOrder::big;

// Calls `work` with a zero of the element's C++ type.
template <class Work>
decltype(auto) with_type(ElementType type, Work work) {
  switch (type) {
    case ElementType::u1: return work(uint8_t{});
    case ElementType::i1: return work(int8_t{});
    case ElementType::u2: return work(uint16_t{});
    case ElementType::i2: return work(int16_t{});
    case ElementType::u4: return work(uint32_t{});
    case ElementType::i4: return work(int32_t{});
    case ElementType::u8: return work(uint64_t{});
    case ElementType::i8: return work(int64_t{});
    case ElementType::f4: return work(float{});
    case ElementType::f8: break;
  }
  return work(double{});
}

template <class T>
T load(const std::byte* from, ByteOrder order) {
  std::byte bytes[sizeof(T)];
  for (size_t i = 0; i < sizeof(T); ++i) {
    bytes[i] = from[order == kNative ? i : sizeof(T) - 1 - i];
  }
  T value;
  std::memcpy(&value, bytes, sizeof(T));
  return value;
}

}  // namespace

size_t ElementFormat::size() const {
  return with_type(type, [](auto zero) { return sizeof(zero); });
}

bool ElementFormat::is_native_float() const {
  return type == ElementType::f4 && order == kNative;
}

std::optional<size_t> to_float(ElementFormat format, const std::byte* from, std::span<float> out) {
  return with_type(format.type, [&](auto zero) -> std::optional<size_t> {
    using T = decltype(zero);
    for (size_t i = 0; i < out.size(); ++i) {
      out[i] = static_cast<float>(load<T>(from + i * sizeof(T), format.order));
      if constexpr (std::is_floating_point_v<T>) {
        if (!std::isfinite(out[i])) return i;
      }
    }
    return std::nullopt;
  });
}

void to_labels(ElementFormat format, const std::byte* from, size_t count, LabelEncoder& encoder) {
  encoder.reserve(count);
  with_type(format.type, [&](auto zero) {
    using T = decltype(zero);
    using Label = std::conditional_t<std::is_floating_point_v<T>, double, int64_t>;
    for (size_t i = 0; i < count; ++i) {
      encoder.add(static_cast<Label>(load<T>(from + i * sizeof(T), format.order)));
    }
  });
}

}  // namespace lockstep
