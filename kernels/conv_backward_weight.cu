// dw [O, C, kernel] = sum over samples and outputs' pixels of dy [B, H', W', O] x patches [kernel,
// C], and db [O].
//
// Algorithm: gemm_kernel.h, rows = units, columns = the kernel [kernel height, kernel width, C],
// depth = pixels of all samples, both operands by rows (conv_operands.h): a result of a few
// thousand values over a hundred thousand pixels. The pixels are split over blocks, each of which
// writes partial sums, and a second kernel adds them: 16 warps each every 16th split, then the
// warps' sums in order. The blocks of the first columns add up db as well. Gradients go out in the
// order of checkpoints. How pixels are split depends on the whole layer, not on the range.
// Floor, batch 128, 32 to 64 channels, 3 x 3 on 15 x 15, pooled: 3.7 MB of x, 1.5 MB of gradients
// and places, 1.6 us of a H200's memory, in fact all in L2; 0.68 GFLOP, 11 us of its float32 units;
// 5 tiles in 72 splits (18,432 pixels by at least 256), whose partial sums are 5.3 MB written and
// read in L2. Two dependent stages.
#include "kernels/conv_backward_weight.h"
#include "kernels/conv_gemm.h"

namespace lockstep {
namespace device {

// Where gradients go.
struct ConvGradients {
  float* dweight;
  float* dbias;
  int channels, taps;
  Divisor by_pitch;  // of the kernel's depth

  __device__ void store(int unit, int depth, float value) const {
    const int tap = by_pitch.quotient(depth);
    const int channel = by_pitch.remainder(depth, tap);
    if (channel < channels) dweight[(unit * channels + channel) * taps + tap] = value;
  }
};

struct ConvBackwardWeightEpilogue {
  static constexpr bool kRowSums = true;
  static constexpr bool kSplitsSummedApart = true;
  ConvGradients to;

  __device__ void operator()(int unit, int depth, const float (&values)[4], int count) const {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      if (i < count) to.store(unit, depth + i, values[i]);
    }
  }
  __device__ void row_sum(int unit, float sum) const {
    to.dbias[unit] = sum;
  }
};

constexpr unsigned kSplitWarps = 16;

// A lane a value of the gradient; those of the biases come behind those of the weights.
__global__ void __launch_bounds__(kWarpSize* kSplitWarps)
    conv_sum_splits(Partials partials, ConvGradients to) {
  auto* of_warps = shared<float>(0, kSplitWarps * kWarpSize);
  const int pitch = partials.pitch();
  const int weights = partials.rows * pitch;
  const int i = static_cast<int>(blockIdx.x * kWarpSize + threadIdx.x);
  const bool bias = i >= weights;
  const float* values = bias ? partials.row_sum(0, i - weights) : partials.data + i;
  const std::int64_t stride = bias ? partials.rows : weights;
  const bool present = i < weights + partials.rows;
  float sum = 0;
  if (present) {
#pragma unroll 8
    for (int split = static_cast<int>(threadIdx.y); split < partials.splits;
         split += static_cast<int>(kSplitWarps)) {
      sum += values[split * stride];
    }
  }
  of_warps[threadIdx.y * kWarpSize + threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y != 0 || !present) return;
#pragma unroll
  for (unsigned warp = 1; warp < kSplitWarps; ++warp) {
    sum += of_warps[warp * kWarpSize + threadIdx.x];
  }
  if (bias) {
    to.dbias[i - weights] = sum;
    return;
  }
  const int unit = i / pitch;
  const int depth = i % pitch;
  if (depth < partials.columns) to.store(unit, depth, sum);
}

}  // namespace device

namespace {

ConvWeightPlan plan_of(const ConvShape& shape, int batch) {
  const int pixels = batch * shape.output_height * shape.output_width;
  return plan_conv_weight(shape.outputs, shape.depth(), pixels,
                          device_attribute(cudaDevAttrMultiProcessorCount));
}

device::Partials partial_sums(const ConvWeightPlan& plan, int units, int depth, float* workspace) {
  return {.data = workspace, .splits = plan.splits, .rows = units, .columns = depth};
}

template <bool narrow>
void run_conv_backward_weight(const ConvBackwardWeight& layer, Precision precision,
                              cudaStream_t stream) {
  const ConvShape& shape = layer.shape;
  const ConvWeightPlan plan = plan_of(shape, layer.batch);
  const ConvOutputs outputs(shape, layer.batch);
  const ConvDeltas deltas{.dy = layer.dy + layer.first_unit,
                          .index = layer.index ? layer.index + layer.first_unit : nullptr,
                          .pitch = shape.output_pitch(),
                          .by_window = Divisor(shape.pool * shape.pool),
                          .rows = layer.units,
                          .depth = outputs.count};
  const ConvPatches<narrow> patches{.x = layer.x,
                                    .height = shape.height,
                                    .width = shape.width,
                                    .pitch = shape.input_pitch,
                                    .sample_stride = shape.height * shape.width * shape.input_pitch,
                                    .outputs = outputs,
                                    .depths = {shape.kernel_width, shape.input_pitch},
                                    .rows = shape.depth(),
                                    .depth = outputs.count};
  const std::ptrdiff_t first = std::ptrdiff_t{layer.first_unit} * shape.channels * shape.kernel();
  const device::ConvGradients to{layer.dweight + first, layer.dbias + layer.first_unit,
                                 shape.channels, shape.kernel(), Divisor(shape.input_pitch)};
  const bool split = plan.splits > 1;
  const device::Partials partials =
      partial_sums(plan, layer.units, shape.depth(), split ? layer.workspace : nullptr);
  with_conv_tile<Major::rows, Major::rows, ConvTile::small, ConvTile::square>(
      plan.tile, precision, [&]<class Arithmetic>() {
        launch_conv<Arithmetic>(tiles_of(layer.units, Arithmetic::Shape::kRows), deltas, patches,
                                plan.splits, plan.depth_a_split, partials,
                                device::ConvBackwardWeightEpilogue{to}, stream);
      });
  if (!split) return;
  const long long values = 1LL * layer.units * (partials.pitch() + 1);
  launch({.grid = static_cast<unsigned>(tiles_of(values, device::kWarpSize)),
          .block = dim3(device::kWarpSize, device::kSplitWarps),
          .stream = stream,
          .shared_bytes = sizeof(float) * device::kWarpSize * device::kSplitWarps},
         device::conv_sum_splits, partials, to);
}

}  // namespace

std::size_t conv_backward_weight_workspace(const ConvShape& shape, int batch) {
  const ConvWeightPlan plan = plan_of(shape, batch);
  if (plan.splits == 1) return 0;
  return partial_sums(plan, shape.outputs, shape.depth(), nullptr).size();
}

void conv_backward_weight(const ConvBackwardWeight& layer, Precision precision,
                          cudaStream_t stream) {
  require_precision(precision);
  require_countable(layer.shape, layer.batch, "a convolution");
  if (layer.units == 0) return;
  if (layer.first_unit % 4 != 0) {
    throw Error(ErrorKind::runtime, "a range of a convolution's units begins within four");
  }
  if (!layer.workspace && plan_of(layer.shape, layer.batch).splits > 1) {
    throw Error(ErrorKind::runtime, "a convolution's pass was given no workspace");
  }
  const bool narrow = layer.shape.input_pitch % 4 != 0;
  (narrow ? run_conv_backward_weight<true> : run_conv_backward_weight<false>)(layer, precision,
                                                                              stream);
}

}  // namespace lockstep
