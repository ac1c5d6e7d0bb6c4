#include "backend/sparse_layer.h"

#include <algorithm>

#include "backend/vector_ops.h"

namespace lockstep {

namespace {

// Samples whose entries are listed at a time: a whole number of panels.
constexpr int64_t kChunk = 512;

}  // namespace

SparseLayer::SparseLayer(int64_t inputs, int64_t outputs, int64_t group, int64_t slab_inputs)
    : outputs_(outputs), samples_(group, inputs), inputs_(slab_inputs, kChunk) {}

int64_t SparseLayer::workspace_bytes(int64_t inputs, int64_t outputs, int64_t group,
                                     int64_t slab_inputs) {
  return SparseQuads::bytes(group, inputs) + SparseQuads::bytes(slab_inputs, kChunk) +
         slab_inputs * outputs * static_cast<int64_t>(sizeof(float));
}

void SparseLayer::forward(const LinearWeights& w, ConstMatrix x, Matrix y) {
  list_rows(x, samples_);
  sparse_product(samples_, {.b = w.weight,
                            .b_stride = w.outputs,
                            .columns = w.outputs,
                            .start = SumStart::vector,
                            .vector = w.bias,
                            .out = y.data,
                            .out_stride = y.stride});
}

void SparseLayer::weight_gradient(std::span<const LayerFactors> shares, InputRange inputs,
                                  ShareSum sum, float* dw) {
  add_share(shares[0], inputs, SumStart::zero, dw);
  for (const LayerFactors& share : shares.subspan(1)) {
    if (sum == ShareSum::chain) {
      add_share(share, inputs, SumStart::out, dw);
      continue;
    }
    const auto floats = static_cast<size_t>(inputs.size() * outputs_);
    if (share_.size() < floats) share_ = Buffer<float>(floats);
    add_share(share, inputs, SumStart::zero, share_.data());
    add({dw, floats}, {share_.data(), floats});
  }
}

void SparseLayer::add_share(const LayerFactors& share, InputRange inputs, SumStart start,
                            float* dw) {
  const int64_t samples = share.x.rows;
  for (int64_t first = 0; first == 0 || first < samples; first += kChunk) {
    ConstMatrix x = share.x;
    x.data = x.row(first);
    x.rows = std::min(kChunk, samples - first);
    list_columns(x, inputs.begin, inputs.size(), inputs_);
    sparse_product(inputs_, {.b = share.dy_rows.row(first),
                             .b_stride = share.dy_rows.stride,
                             .columns = outputs_,
                             .start = first == 0 ? start : SumStart::out,
                             .vector = nullptr,
                             .out = dw,
                             .out_stride = outputs_});
  }
}

}  // namespace lockstep
