// Into bf16 and into the layouts of backend/gemm.h, each value rounded once, to nearest even; and
// what a step on row-major matrices does besides.
#pragma once

#include "backend/gather.h"
#include "backend/gemm.h"
#include "backend/matrix.h"
#include "lockstep/model.h"

namespace lockstep {

// A right operand.
struct Paired {
  PairedLayout layout;
  Bf16* data = nullptr;  // null: none
};

// Both forms of a left operand's rows: itself, row-major without gaps, and the right operand that
// has the same rows. Either may be null.
struct RoundedRows {
  Bf16* rows = nullptr;
  Paired pairs;
};

// Rows [first, first + from.rows) of `to` = activation(from). An odd row at the end is paired with
// zeros. REQUIRES: `first` even.
void round_rows(ConstMatrix from, Activation activation, const RoundedRows& to, int64_t first);

// The same of a batch's float32 or uint8 features, normalised: what gather() and round_rows() give.
void round_features(const Batch& batch, const FeatureScaling& scaling, const RoundedRows& to);

// Zeroes the rows from `first` on, which is even, to the end of the padding.
void clear_rows(const Paired& to, int64_t first);

// to [inputs, outputs] = w^T, w [outputs, inputs] row-major without gaps.
void round_transposed(const float* w, const Paired& to);

// Samples that round_columns() takes together.
inline constexpr int64_t kColumnBlock = 16;

// to[j * stride + i] = from[i, j]. REQUIRES: from.rows is a multiple of kColumnBlock; in fours,
// `from` readable beyond its last column and `to` writable beyond its last row.
void round_columns(ConstMatrix from, Bf16* to, int64_t stride);

// dy[i, u] = y[i, u] > 0 ? scale * dy[i, u] : 0, in place; y is the layer's output after ReLU and
// dropout, without gaps, so that a dropped unit passes nothing either. `scale` is dropout's
// 1 / (1 - p).
void relu_backward(Matrix dy, const Bf16* y, float scale);

// sums[u] = ((sums[u] + dy[0, u]) + dy[1, u]) + ...
void add_rows(ConstMatrix dy, float* sums);

}  // namespace lockstep
