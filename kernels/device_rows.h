// A batch of activations in device memory.
#pragma once

#include <cstdint>

namespace lockstep {

// Row-major [batch, features], rows `stride` >= features floats apart. Fastest where the data begin
// at multiples of 16 bytes and the stride is a multiple of 4.
template <class T>
struct DeviceRows {
  T* data = nullptr;
  std::int64_t stride = 0;
};

// Whether every row begins at a multiple of 16 bytes.
inline bool aligned_rows(const float* data, std::int64_t stride) {
  return reinterpret_cast<std::uintptr_t>(data) % 16 == 0 && stride % 4 == 0;
}

}  // namespace lockstep
