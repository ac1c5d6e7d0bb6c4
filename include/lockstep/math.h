// The scalar formulas of the trainer (math-inl.h) over float and double on the host and float on a
// GPU, and what they need. Multiply-adds are explicit: builds use -ffp-contract=off.
#pragma once

#include <cmath>

#include "lockstep/host_device.h"

namespace lockstep {

namespace math_functions {
using std::abs;
using std::exp;
using std::fma;
using std::log1p;
using std::sqrt;

LOCKSTEP_HD float max(float a, float b) {
  return a > b ? a : b;
}
LOCKSTEP_HD float if_negative(float x, float yes, float no) {
  return x < 0 ? yes : no;
}
LOCKSTEP_HD double if_negative(double x, double yes, double no) {
  return x < 0 ? yes : no;
}
LOCKSTEP_HD double max(double a, double b) {
  return a > b ? a : b;
}
}  // namespace math_functions

// One step's constants of an optimizer, computed once on the host in double and rounded.
struct UpdateScalars {
  float learning_rate = 0.0f;
  float gradient_scale = 1.0f;   // 1 / samples in the global batch: gradients are sums
  float weight_decay = 0.0f;     // L2: added to the gradient (SGD, Adam)
  float decoupled_decay = 0.0f;  // AdamW: learning_rate * weight_decay, taken off the weight
  float momentum = 0.0f;         // SGD
  float beta1 = 0.9f, beta2 = 0.999f, epsilon = 1e-8f;
  float step_size = 0.0f;                 // Adam: learning_rate / (1 - beta1^t)
  float inverse_sqrt_correction2 = 1.0f;  // Adam: 1 / sqrt(1 - beta2^t)
};

// A namespace of its own, so that argument-dependent lookup on UpdateScalars does not find these
// where a SIMD target has included the formulas for its own vectors.
namespace formulas {
#include "lockstep/math-inl.h"
}  // namespace formulas
using namespace formulas;

}  // namespace lockstep
