// The three products of a linear layer over panels (backend/panel.h), in register tiles of
// Highway vectors.
//
// Every element is one chain of fused multiply-adds in the order of the summed index: over inputs
// from the bias, over outputs from 0, over samples from 0. Its bits therefore depend neither on
// tiles, slabs and panels nor on the vector width.
#pragma once

#include <cstdint>
#include <span>

#include "backend/matrix.h"
#include "backend/panel.h"
#include "lockstep/backend.h"

namespace lockstep {

// Weights [outputs, inputs], rows adjacent, and biases [outputs].
struct LinearWeights {
  const float* weight = nullptr;
  const float* bias = nullptr;
  int64_t outputs = 0;
  int64_t inputs = 0;
};

// Output units [begin, end) of a layer.
struct UnitRange {
  int64_t begin = 0;
  int64_t end = 0;
  int64_t size() const { return end - begin; }
};

// y = w x + b. REQUIRES: x.features == inputs, y.features == outputs, equal samples.
void panel_forward(const LinearWeights& w, ConstPanels x, Panels y);

// dx = w^T dy.
void panel_input_gradient(const LinearWeights& w, ConstPanels dy, Panels dx);

// What a layer's weight gradient is the product of: dw = dy^T x, over a share of the samples. x is
// row-major [samples, inputs], its stride a multiple of 16 floats and what lies beyond a row's
// inputs finite.
struct LayerFactors {
  ConstPanels dy;
  ConstMatrix x;
  ConstMatrix dy_rows{};  // dy once more, row-major: of a layer with sparse inputs alone
};

// dw[u - begin, k] = sum over samples of dy[u] x[k] for the units of a range. REQUIRES: at least
// one share.
void panel_weight_gradient(std::span<const LayerFactors> shares, UnitRange units, ShareSum sum,
                           float* dw);

// db[u - begin] = sum over samples of dy[u], in an order that knows no vector width: a chain of its
// own for the samples of each lane i = 0 ... 31, sample k (counted through all shares, or through
// its own where shares are folded) being in lane k % 32; then lane i + lane i + 16, + 8, + 4, + 2,
// + 1.
void panel_bias_gradient(std::span<const LayerFactors> shares, UnitRange units, ShareSum sum,
                         float* db);

}  // namespace lockstep
