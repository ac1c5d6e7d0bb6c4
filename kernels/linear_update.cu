// dw [outputs, inputs] = dy^T [outputs, batch] x [batch, inputs] and db of up to eight layers, and
// w -= ... of each, for batches whose products need no splitting.
//
// Algorithm: gemm_kernel.h with small tiles; the layers' tiles stand in one row of blocks, a layer
// after the other, and a tile's epilogue is the optimizer's. Each block takes a ticket; the last
// one advances the step.
// Floor, 784-256-128-10, batch 256: 2.1 MB of activations and gradients, 12 bytes a parameter (SGD;
// momentum 20, Adam 28) of 235,146: 4.9 MB, 1.1 us of a H200's memory, in fact all in L2; 120
// MFLOP, 2 us of its float32 units. One dependent stage, where a kernel a layer, update and advance
// are five.
#include <algorithm>

#include "kernels/gemm.h"
#include "kernels/last_block.h"
#include "kernels/linear_update.h"
#include "kernels/step_device.h"
#include "kernels/update_device.h"

namespace lockstep {
namespace device {

// One layer's product and where its tiles stand among the blocks.
struct UpdateProduct {
  Operand dy, x;
  std::size_t weight, bias;
  unsigned first_block;
  int tile_rows;
};

struct UpdateProducts {
  UpdateProduct products[kLinearUpdateLayers];  // in the order of their blocks
  int count;
};

// What a block's thread 0 has read of the step for all of them: in shared memory, behind the tiles.
struct StepOfBlock {
  UpdateScalars scalars;
  bool diverged;
};

template <UpdateRule rule>
struct UpdateEpilogue {
  static constexpr bool kRowSums = true;
  ParameterPointers parameters;
  const StepOfBlock* step;
  std::size_t weight, bias;
  std::size_t inputs;

  __device__ void operator()(int unit, int input, const float (&values)[4], int count) const {
    if (step->diverged) return;
    const std::size_t at = weight + unit * inputs + input;
    if (count == 4 && inputs % 4 == 0) {
      update_four<rule>(parameters, step->scalars, at,
                        make_float4(values[0], values[1], values[2], values[3]));
      return;
    }
    for (int i = 0; i < count; ++i) update_one<rule>(parameters, step->scalars, at + i, values[i]);
  }
  __device__ void row_sum(int unit, float sum) const {
    if (!step->diverged) update_one<rule>(parameters, step->scalars, bias + unit, sum);
  }
};

template <class Arithmetic, UpdateRule rule>
__global__ void __launch_bounds__(kGemmThreads, Arithmetic::kBlocks)
    linear_update_kernel(UpdateProducts all, ParameterPointers parameters, StepPointers step,
                         unsigned* ticket) {
  UpdateProduct product = all.products[0];
#pragma unroll
  for (int i = 1; i < static_cast<int>(kLinearUpdateLayers); ++i) {
    if (i < all.count && blockIdx.x >= all.products[i].first_block) product = all.products[i];
  }
  const int tile = static_cast<int>(blockIdx.x - product.first_block);
  GemmBlock<Arithmetic, UpdateEpilogue<rule>> block(
      product.dy, product.x, {tile % product.tile_rows, tile / product.tile_rows, 0},
      product.dy.depth);
  using Block = GemmBlock<Arithmetic, UpdateEpilogue<rule>>;
  auto* of_block = shared<StepOfBlock>(Block::kSharedBytes);
  if (threadIdx.x == 0) *of_block = {step.scalars[step.state->batch], diverged(*step.state)};
  block.multiply();
  block.finish({.parameters = parameters,  // behind its barriers all see what thread 0 has read
                .step = of_block,
                .weight = product.weight,
                .bias = product.bias,
                .inputs = static_cast<std::size_t>(product.x.rows)});
  if (threadIdx.x == 0 && take_last_ticket(ticket)) advance(*step.state, step.report);
}

}  // namespace device

namespace {

using device::UpdateProduct;
using device::UpdateProducts;

constexpr int tiles(int count) {
  return (count + GemmPlan::kSmall - 1) / GemmPlan::kSmall;
}

template <class Arithmetic>
void launch_linear_update(const UpdateProducts& all, unsigned blocks, UpdateRule rule,
                          const ParameterPointers& parameters, const StepPointers& step,
                          unsigned* ticket, cudaStream_t stream) {
  const auto run = [&]<UpdateRule known>() {
    using Block = device::GemmBlock<Arithmetic, device::UpdateEpilogue<known>>;
    launch({.grid = blocks,
            .block = device::kGemmThreads,
            .stream = stream,
            .shared_bytes = Block::kSharedBytes + sizeof(device::StepOfBlock)},
           device::linear_update_kernel<Arithmetic, known>, all, parameters, step, ticket);
  };
  switch (rule) {
    case UpdateRule::sgd: return run.template operator()<UpdateRule::sgd>();
    case UpdateRule::momentum: return run.template operator()<UpdateRule::momentum>();
    case UpdateRule::nesterov: return run.template operator()<UpdateRule::nesterov>();
    case UpdateRule::adam: return run.template operator()<UpdateRule::adam>();
  }
}

}  // namespace

bool linear_update_fits(std::span<const LinearUpdateLayer> layers, int batch) {
  if (layers.empty() || layers.size() > kLinearUpdateLayers) return false;
  return std::ranges::all_of(layers, [&](const LinearUpdateLayer& layer) {
    const GemmPlan plan = plan_on_device(layer.outputs, layer.inputs, batch);
    return !plan.large && plan.splits == 1;
  });
}

void linear_update(std::span<const LinearUpdateLayer> layers, int batch, Precision precision,
                   UpdateRule rule, const ParameterPointers& parameters, const StepPointers& step,
                   unsigned* ticket, cudaStream_t stream) {
  require_precision(precision);
  UpdateProducts all{};
  unsigned blocks = 0;
  for (const LinearUpdateLayer& layer : layers) {
    const int tile_rows = tiles(layer.outputs);
    all.products[all.count++] =
        UpdateProduct{.dy = make_operand(layer.dy.data, layer.dy.stride, layer.outputs, batch),
                      .x = make_operand(layer.x.data, layer.x.stride, layer.inputs, batch),
                      .weight = layer.weight,
                      .bias = layer.bias,
                      .first_block = blocks,
                      .tile_rows = tile_rows};
    blocks += static_cast<unsigned>(tile_rows * tiles(layer.inputs));
  }
  with_small_tiles<Major::rows, Major::rows>(precision, [&]<class Arithmetic>() {
    launch_linear_update<Arithmetic>(all, blocks, rule, parameters, step, ticket, stream);
  });
}

}  // namespace lockstep
