// Plain loops, for builds whose sanitizers must see every access.
#include <algorithm>

#include "backend/gemm.h"

namespace lockstep {

std::string gemm_library() {
  return "plain loops";
}

std::string bf16_instructions() {
  return "plain loops";
}

void set_gemm_threads(int) {}

struct Product::Compiled {
  ProductShape shape;
  const Bf16* a;
  const Bf16* b;
  const float* bias;
};

Product::Product(const ProductShape& shape, const Bf16* a, const Bf16* b, const float* bias)
    : compiled_(std::make_unique<Compiled>(Compiled{shape, a, b, bias})) {}

Product::Product(Product&&) noexcept = default;
Product& Product::operator=(Product&&) noexcept = default;
Product::~Product() = default;

void Product::run(float* c) {
  const auto& [m, k, n] = compiled_->shape;
  const PairedLayout layout{k, n};
  for (int64_t i = 0; i < m; ++i) {
    float* sums = c + i * n;
    std::fill_n(sums, n, 0.0f);
    if (compiled_->bias) std::copy_n(compiled_->bias, n, sums);
    for (int64_t t = 0; t < k; ++t) {
      const float factor = to_float(compiled_->a[i * k + t]);
      for (int64_t strip = 0; strip < n; strip += PairedLayout::kStripColumns) {
        // Every second value: two rows lie side by side.
        const Bf16* row = compiled_->b + layout.index(t, strip);
        const int64_t columns = std::min(PairedLayout::kStripColumns, n - strip);
        for (int64_t j = 0; j < columns; ++j) sums[strip + j] += factor * to_float(row[2 * j]);
      }
    }
  }
}

}  // namespace lockstep
