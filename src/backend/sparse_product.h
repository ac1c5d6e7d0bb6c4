// Products with a matrix that is mostly zeros, such as the pixels of scanned digits: y = x w and
// dw = x^T dy, for weights stored [inputs, outputs].
//
// The sparse matrix's rows are taken in fours. For each four the columns in which any of them is
// not zero are listed, with the four values; a register tile then adds, for every listed column,
// four multiples of one row of the dense matrix. Neighbours are alike (pixels side by side), so a
// four lists few columns more than one row would, and every vector of the dense matrix that is
// loaded serves four fused multiply-adds.
//
// Every element is one chain of fused multiply-adds in the order of the summed index, as in
// backend/panel_gemm.h; a term left out is the product of a zero, which changes no sum that is not
// itself zero. Values are therefore those of the dense products: equal, if zeros of either sign
// are.
#pragma once

#include <cstdint>
#include <vector>

#include "backend/matrix.h"
#include "lockstep/buffer.h"

namespace lockstep {

inline constexpr int64_t kQuad = 4;

constexpr int64_t quads_of(int64_t rows) {
  return (rows + kQuad - 1) / kQuad;
}

// Rows of a sparse matrix, in fours. Filled by one of the functions below, read by
// sparse_product().
class SparseQuads {
 public:
  SparseQuads() = default;
  // Room for so many rows and columns.
  SparseQuads(int64_t most_rows, int64_t most_columns);

  // Floats and indices that this takes, in bytes.
  static int64_t bytes(int64_t most_rows, int64_t most_columns);

  int64_t rows = 0;
  int64_t columns = 0;
  int64_t stride = 0;  // between the four values of an entry
  // Entry i: values[i + r * stride] for row r of its four, in column index[i].
  Buffer<float> values;
  Buffer<int32_t> index;
  // Of four q, entries [ends[q * blocks + b - 1], ends[q * blocks + b]) lie in block b of columns.
  int64_t blocks = 0;
  std::vector<int64_t> ends;
};

// The fours of `rows`. REQUIRES: the rows of the last four are readable, and beyond a row's columns
// up to its stride, a multiple of 16; what lies there is not used.
void list_rows(ConstMatrix rows, SparseQuads& list);

// The fours of the transpose of `rows`, of its columns [first, first + count): what those columns
// hold. REQUIRES: as above, rows readable up to a multiple of 16.
void list_columns(ConstMatrix rows, int64_t first, int64_t count, SparseQuads& list);

// What sums start from.
enum class SumStart {
  zero,
  vector,  // one value a column of `out`
  out,     // what `out` holds
};

// out [a.rows, columns], row stride `out_stride`, = start + a b; b [a.columns, columns]. REQUIRES:
// b readable for 15 floats beyond its last row's columns. Writes nothing but its elements.
struct SparseProduct {
  const float* b = nullptr;
  int64_t b_stride = 0;
  int64_t columns = 0;
  SumStart start = SumStart::zero;
  const float* vector = nullptr;  // [columns], readable for 15 floats beyond
  float* out = nullptr;
  int64_t out_stride = 0;
};
void sparse_product(const SparseQuads& a, const SparseProduct& product);

}  // namespace lockstep
