// Which implementation of LinearOps computes which product.
#pragma once

#include <memory>
#include <vector>

#include "backend/cuda_linear.h"

namespace lockstep {

struct ChosenLinear {
  std::unique_ptr<LinearOps> ops;
  std::vector<ProductChoice> products;  // of batches of `batch` rows
};

// What `gemm` asks for. `automatic` measures each product on the current device, of batches of
// `batch` rows, and takes the faster implementation for all batches: only where cuBLASLt is.
ChosenLinear choose_linear(const LinearNetwork& network, Gemm gemm, int batch);

// The times of both for each product of the network that differs from those before it, and the
// faster's name. A product's time is that of its pass: everything that goes with it.
std::vector<ProductChoice> measure_products(const LinearNetwork& network, int batch, LinearOps& own,
                                            LinearOps& cublas);

// Each product by the implementation that `products` names for its size.
std::unique_ptr<LinearOps> make_mixed_linear(std::unique_ptr<LinearOps> own,
                                             std::unique_ptr<LinearOps> cublas,
                                             const std::vector<ProductChoice>& products);

}  // namespace lockstep
