// The first linear layer of a network whose inputs are mostly zeros, its weight stored [inputs,
// outputs] (FirstWeight::inputs_first).
#pragma once

#include <cstdint>
#include <span>

#include "backend/panel_gemm.h"
#include "backend/sparse_product.h"
#include "lockstep/parameters.h"

namespace lockstep {

// Rows [begin, end) of the stored weight: inputs.
struct InputRange {
  int64_t begin = 0;
  int64_t end = 0;
  int64_t size() const { return end - begin; }
};

// Keeps the lists that a worker's products go by. Not thread-safe.
class SparseLayer {
 public:
  // For groups of `group` samples forward and ranges of `slab_inputs` inputs backward.
  SparseLayer(int64_t inputs, int64_t outputs, int64_t group, int64_t slab_inputs);
  static int64_t workspace_bytes(int64_t inputs, int64_t outputs, int64_t group,
                                 int64_t slab_inputs);

  // y [samples, outputs] = x w + b; w.weight is [inputs, outputs]. REQUIRES: x and y as Rows keeps
  // them, of whole panels.
  void forward(const LinearWeights& w, ConstMatrix x, Matrix y);

  // dw [range.size(), outputs], the sum over the shares' samples for a range of inputs.
  void weight_gradient(std::span<const LayerFactors> shares, InputRange inputs, ShareSum sum,
                       float* dw);

 private:
  void add_share(const LayerFactors& share, InputRange inputs, SumStart start, float* dw);

  int64_t outputs_;
  SparseQuads samples_;  // of a group
  SparseQuads inputs_;   // of a slab, over kChunk samples
  Buffer<float> share_;  // a later share's sum, where each is complete
};

}  // namespace lockstep
