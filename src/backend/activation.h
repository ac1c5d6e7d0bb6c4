// What stands between two GEMMs of a row-major step.
#pragma once

#include <span>

#include "backend/matrix.h"
#include "lockstep/model.h"

namespace lockstep {

// y[i, u] = activation(y[i, u] + bias[u]), in place.
void add_bias(Matrix y, const float* bias, Activation activation);

// dy[i, u] = y[i, u] > 0 ? scale * dy[i, u] : 0, in place; y is the layer's output after ReLU and
// dropout, so that a dropped unit passes nothing either. `scale` is dropout's 1 / (1 - p).
void relu_backward(Matrix dy, ConstMatrix y, float scale);

// sums[u] = ((dy[0, u] + dy[1, u]) + dy[2, u]) + ...: the bias gradient. Zero without rows.
void column_sums(ConstMatrix dy, float* sums);

}  // namespace lockstep
