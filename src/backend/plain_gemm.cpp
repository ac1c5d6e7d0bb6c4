// Plain loops, for builds whose sanitizers must see every access.
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
    const Bf16* row = compiled_->a + i * k;
    for (int64_t j = 0; j < n; ++j) {
      float sum = compiled_->bias ? compiled_->bias[j] : 0.0f;
      for (int64_t t = 0; t < k; ++t) {
        sum += to_float(row[t]) * to_float(compiled_->b[layout.index(t, j)]);
      }
      c[i * n + j] = sum;
    }
  }
}

}  // namespace lockstep
