// Plain loops, for builds whose sanitizers must see every access.
#include <algorithm>

#include "backend/gemm.h"

namespace lockstep {

std::string gemm_library() {
  return "plain loops";
}

void set_gemm_threads(int) {}

void multiply_transposed(ConstMatrix x, ConstMatrix w, Matrix y) {
  for (int64_t i = 0; i < y.rows; ++i) {
    for (int64_t j = 0; j < y.columns; ++j) {
      float sum = 0.0f;
      for (int64_t k = 0; k < x.columns; ++k) sum += x.row(i)[k] * w.row(j)[k];
      y.row(i)[j] = sum;
    }
  }
}

void multiply(ConstMatrix dy, ConstMatrix w, Matrix dx) {
  for (int64_t i = 0; i < dx.rows; ++i) {
    std::fill_n(dx.row(i), dx.columns, 0.0f);
    for (int64_t j = 0; j < dy.columns; ++j) {
      const float factor = dy.row(i)[j];
      for (int64_t k = 0; k < dx.columns; ++k) dx.row(i)[k] += factor * w.row(j)[k];
    }
  }
}

void multiply_left_transposed(ConstMatrix dy, ConstMatrix x, Matrix dw) {
  for (int64_t j = 0; j < dw.rows; ++j) {
    std::fill_n(dw.row(j), dw.columns, 0.0f);
    for (int64_t i = 0; i < dy.rows; ++i) {
      const float factor = dy.row(i)[j];
      for (int64_t k = 0; k < dw.columns; ++k) dw.row(j)[k] += factor * x.row(i)[k];
    }
  }
}

}  // namespace lockstep
