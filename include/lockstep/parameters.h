// ONE flat buffer each for values, gradients and optimizer state: layers in forward order, each
// tensor padded to 128 bytes, padding always zero. Backward fills gradients from the end.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "lockstep/buffer.h"
#include "lockstep/model.h"

namespace lockstep {

// Half-open range of floats of the flat buffer. Ranges that cross a worker's boundary start and end
// at multiples of kPadFloats, so that vector bodies alone process them.
struct Range {
  size_t begin = 0;
  size_t end = 0;
  size_t size() const { return end - begin; }
  bool empty() const { return begin >= end; }
  bool operator==(const Range&) const = default;
};

// Worker r's slice of `range`, cut at multiples of kPadFloats; may be empty.
Range slice_of(Range range, int rank, int world_size);

struct TensorSpec {
  std::string name;            // "layers.0.weight"
  int layer = 0;               // index into Model::layers
  std::vector<int64_t> shape;  // logical, weight_shape() of the layer; bias [outputs]
  size_t offset = 0;           // floats from the start of the flat buffer
  size_t size = 0;             // floats, unpadded
  bool transposed = false;     // stored [inputs, outputs]: a weight alone
  Range range() const { return {offset, offset + padded(size)}; }
  // As a weight is stored: a matrix, of which a convolution's row is an output channel.
  int64_t rows() const { return transposed ? shape[1] : shape[0]; }
  int64_t columns() const { return static_cast<int64_t>(size) / rows(); }
};

// How the first weight is stored. Everything outside a training run (checkpoints, hashes,
// evaluation) has its logical order, which a layout without a word about it has too.
enum class FirstWeight {
  outputs_first,  // as its logical shape
  inputs_first,   // transposed, for products that skip zero inputs
};

class ParameterLayout {
 public:
  ParameterLayout() = default;
  explicit ParameterLayout(const Model& model, FirstWeight first = FirstWeight::outputs_first);

  const std::vector<TensorSpec>& tensors() const { return tensors_; }
  const TensorSpec& weight(int layer) const;  // REQUIRES: the layer has parameters
  const TensorSpec& bias(int layer) const;
  size_t size() const { return size_; }    // floats with padding
  size_t count() const { return count_; }  // parameters
  Range all() const { return {0, size_}; }

 private:
  std::vector<TensorSpec> tensors_;
  size_t size_ = 0;
  size_t count_ = 0;
};

// Flat buffers of one or several times layout.size() floats between the order in which `layout`
// stores them and the logical one. Padding comes along.
void to_logical(const ParameterLayout& layout, std::span<const float> stored,
                std::span<float> logical);
void from_logical(const ParameterLayout& layout, std::span<const float> logical,
                  std::span<float> stored);

// Fills `values` (layout.size() floats), in logical order, from `seed` alone: weights uniform in
// [-b, b) with b = sqrt(6 / n) before a ReLU (He et al. 2015) and sqrt(3 / n) otherwise, n being
// the weights of an output, from integer bits and correctly rounded operations, so equal on every
// machine; biases zero. Logistic regression (one layer) starts from zeros.
void initialize(const Model& model, const ParameterLayout& layout, uint64_t seed,
                std::span<float> values);

// SHA-256, hex, of the unpadded little-endian float32 values in checkpoint order; `values` in
// logical order.
std::string sha256_of(const ParameterLayout& layout, std::span<const float> values);

}  // namespace lockstep
