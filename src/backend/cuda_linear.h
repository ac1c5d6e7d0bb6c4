// The products of a network's linear layers on a GPU, with what belongs to each: bias, activation
// and dropout, forward and backward. One interface, two implementations: kernels of our own that
// fuse all of it, and cuBLASLt with small kernels around it. cuda_linear_choice.h takes the better
// of them, product by product.
#pragma once

#include <memory>
#include <vector>

#include "kernels/linear_backward_input.h"
#include "kernels/linear_backward_weight.h"
#include "kernels/linear_forward.h"
#include "lockstep/backend.h"

namespace lockstep {

struct LinearLayer {
  int inputs = 0;
  int outputs = 0;
  Activation activation = Activation::none;
};

struct LinearNetwork {
  std::vector<LinearLayer> layers;
  int rows = 0;  // of the largest batch
  Precision precision = Precision::fp32;
  bool input_gradient = false;  // the first layer computes that of its inputs too
};

// Floats between the rows of a batch's activations: whole vectors of 16 bytes.
constexpr int64_t row_stride(int64_t columns) {
  return (columns + 3) / 4 * 4;
}

// Not thread-safe; the passes share memory, so those of one LinearOps must be in one stream.
// Belongs to the device that was current when it was made.
class LinearOps {
 public:
  virtual ~LinearOps() = default;

  // Makes ready for passes over `rows` rows in `stream`: before the first of them, and not while a
  // stream is captured.
  virtual void prepare(int rows, cudaStream_t stream) = 0;

  // Before a step's first pass: operands may hold other values than before. Within a step an
  // operand keeps those that the first pass that takes it has found.
  virtual void begin_step() {}

  // As kernels/linear_*.h describe them, of one of the network's layers; `workspace` is this
  // object's business. Activations have row_stride(), all data begin at multiples of 16 bytes.
  // Return at once. Throw Error (device) where CUDA or cuBLASLt refuses.
  virtual void forward(LinearForward pass, cudaStream_t stream) = 0;
  virtual void backward_input(LinearBackwardInput pass, cudaStream_t stream) = 0;
  // REQUIRES: first_unit is a multiple of 4.
  virtual void backward_weight(LinearBackwardWeight pass, cudaStream_t stream) = 0;
};

std::unique_ptr<LinearOps> make_own_linear(const LinearNetwork& network);

// Throws Error (device) in a build without cuBLASLt.
std::unique_ptr<LinearOps> make_cublas_linear(const LinearNetwork& network);

// Bytes of device memory that make_cublas_linear() takes.
size_t cublas_linear_bytes(const LinearNetwork& network);

}  // namespace lockstep
