// Convolution and pooling of the oracle: plain loops over float64 images, a row of a Table each.
#pragma once

#include "lockstep/model.h"
#include "reference/network.h"

namespace lockstep::reference {

// To the nearest bfloat16, ties to even.
double to_bf16(double value);

// y, after the layer's activation.
Table convolution(const Table& x, const double* weight, const double* bias, const Conv2d& layer,
                  Operands operands);

// dy is masked by y's ReLU in place; returns dx and adds to the parameters' gradients.
Table convolution_backward(const Table& x, const Table& y, Table& dy, const double* weight,
                           const Conv2d& layer, double* weight_gradient, double* bias_gradient,
                           Operands operands);

Table pooling(const Table& x, const Pool2d& layer);
Table pooling_backward(const Table& x, const Table& dy, const Pool2d& layer);

}  // namespace lockstep::reference
