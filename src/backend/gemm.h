// Products of bf16 matrices, summed in float32. One of onednn_gemm.cpp and plain_gemm.cpp
// implements them (CMake's LOCKSTEP_GEMM).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "backend/bf16.h"

namespace lockstep {

// The implementation's name, version and instruction set: "oneDNN 2.6.0 (AVX-512 with bf16)".
std::string gemm_library();

// What multiplies bf16 on this CPU: "AMX", "AVX512_BF16", "plain loops"; empty: nothing does.
std::string bf16_instructions();
inline bool bf16_available() {
  return !bf16_instructions().empty();
}

// Threads that the following products of the calling thread may use. Each worker sets its own:
// a library that starts a thread per core inside every worker halves the machine's throughput.
void set_gemm_threads(int threads);

// The layout of a right operand [rows, columns]: strips of 64 columns, in which two rows lie side
// by side: the operand of the bf16 instructions, so that no product repacks it (oneDNN's
// BA16a64b2a). Rows are padded to whole blocks of 32, with zeros.
struct PairedLayout {
  static constexpr int64_t kStripColumns = 64;
  static constexpr int64_t kRowBlock = 32;

  int64_t rows = 0;
  int64_t columns = 0;

  int64_t padded_rows() const { return (rows + kRowBlock - 1) / kRowBlock * kRowBlock; }
  int64_t strips() const { return (columns + kStripColumns - 1) / kStripColumns; }
  int64_t strip_size() const { return padded_rows() * kStripColumns; }
  int64_t size() const { return strips() * strip_size(); }
  int64_t index(int64_t row, int64_t column) const {
    return column / kStripColumns * strip_size() + row / 2 * (2 * kStripColumns) +
           column % kStripColumns * 2 + row % 2;
  }
};

struct ProductShape {
  int64_t m = 0;
  int64_t k = 0;
  int64_t n = 0;
};

// c [m, n] = a [m, k] b [k, n] + bias [n], compiled for one shape and for operands in one place,
// which must outlive it. a and c are row-major without gaps, b is a PairedLayout{k, n}. Without
// bias (null) the sums start from zero. The same operands give the same bits in every run.
// Thread-safe only for different Products. REQUIRES: bf16_available(), m, k, n > 0.
class Product {
 public:
  Product(const ProductShape& shape, const Bf16* a, const Bf16* b, const float* bias);
  Product(Product&&) noexcept;
  Product& operator=(Product&&) noexcept;
  ~Product();

  void run(float* c);

 private:
  struct Compiled;
  std::unique_ptr<Compiled> compiled_;
};

}  // namespace lockstep
