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
  constexpr int64_t kColumns = PairedLayout::kStripColumns;
  const auto& [m, k, n] = compiled_->shape;
  const PairedLayout layout{k, n};
  for (int64_t i = 0; i < m; ++i) {
    const Bf16* a = compiled_->a + i * k;
    for (int64_t strip = 0; strip < n; strip += kColumns) {
      const int64_t columns = std::min(kColumns, n - strip);
      float sums[kColumns] = {};
      if (compiled_->bias) std::copy_n(compiled_->bias + strip, columns, sums);
      for (int64_t t = 0; t < k; ++t) {
        const float factor = to_float(a[t]);
        const Bf16* b = compiled_->b + layout.index(t, strip);  // two rows lie side by side
        for (int64_t j = 0; j < columns; ++j) sums[j] += factor * to_float(b[2 * j]);
      }
      std::copy_n(sums, columns, c + i * n + strip);
    }
  }
}

}  // namespace lockstep
