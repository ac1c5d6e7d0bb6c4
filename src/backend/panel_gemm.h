// The three products of a linear layer over panels (backend/panel.h), in register tiles of
// Highway vectors.
//
// Every element is one chain of fused multiply-adds in the order of the summed index: over inputs
// from the bias, over outputs from 0, over samples from 0. Its bits therefore depend neither on
// tiles, slabs and panels nor on the vector width.
#pragma once

#include <cstdint>

#include "backend/matrix.h"
#include "backend/panel.h"

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
};

// y = w x + b. REQUIRES: x.features == inputs, y.features == outputs, equal samples.
void panel_forward(const LinearWeights& w, ConstPanels x, Panels y);

// dx = w^T dy.
void panel_input_gradient(const LinearWeights& w, ConstPanels dy, Panels dx);

// dw[u - begin, k] = sum over samples of dy[u] x[k] for the units of a range. x is row-major
// [samples, inputs], its stride a multiple of 16 floats and what lies beyond a row's inputs finite.
void panel_weight_gradient(ConstPanels dy, ConstMatrix x, UnitRange units, float* dw);

// db[u] = sum over samples of dy[u], added in a fixed order of its own.
void panel_bias_gradient(ConstPanels dy, float* db);

}  // namespace lockstep
