// Row-major views of the backend's working memory.
#pragma once

#include <cstdint>

namespace lockstep {

// [rows, columns], consecutive rows `stride` >= columns elements apart.
template <class T>
struct MatrixView {
  T* data = nullptr;
  int64_t rows = 0;
  int64_t columns = 0;
  int64_t stride = 0;

  T* row(int64_t i) const { return data + i * stride; }
  // NOLINTNEXTLINE(google-explicit-constructor): a view to read is a view, as with std::span.
  operator MatrixView<const T>() const { return {data, rows, columns, stride}; }
};

using Matrix = MatrixView<float>;
using ConstMatrix = MatrixView<const float>;

}  // namespace lockstep
