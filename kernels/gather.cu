// Shapes: features [N, d] uint8 or float32, rows [B, stride] float32, stride >= d.
// Algorithm: a group of 1, 2, 4 ... 32 lanes of a warp takes a row, as few as a row has vectors.
// Every lane walks the permutation for itself: the lanes of a group do so in the same
// instructions, and nothing has to be handed round.
// Floor: B d (bytes of T + 4) bytes of traffic; one stage, in which the walk (about 0.2 us a pass,
// as many passes as the unluckiest row needs) comes before the first load.
#include <bit>

#include "kernels/gather.h"
#include "kernels/launch.h"
#include "kernels/row_device.h"

namespace lockstep {

using namespace device;

constexpr unsigned kGatherThreads = 128;

// Lanes 0 .. group-1 of a group take vectors of Width features in turn.
template <class T, int Width>
__global__ void __launch_bounds__(kGatherThreads)
    gather_kernel(ResidentData data, FeatureScale scale, BatchRows batch, const StepState* state,
                  GatherOutputs to, unsigned group) {
  const std::int64_t thread = std::int64_t{blockIdx.x} * kGatherThreads + threadIdx.x;
  const std::int64_t i = thread / group;
  const std::int64_t lane = thread % group;
  if (i >= batch.rows) return;
  const std::int64_t sample = sample_of(batch, state, i);
  if (lane == 0) {
    if (to.labels) to.labels[i] = data.labels[sample];
    if (to.samples) to.samples[i] = data.samples ? data.samples[sample] : sample;
  }
  const T* from = static_cast<const T*>(data.features) + sample * data.columns;
  float* row = to.rows + i * to.stride;
  for (std::int64_t j = lane * Width; j < data.columns; j += std::int64_t{group} * Width) {
    float x[Width];
    load_features(from + j, x);
    for (int k = 0; k < Width; ++k) x[k] = scaled(scale, x[k], j + k);
    if constexpr (Width == 4) {
      *reinterpret_cast<float4*>(row + j) = make_float4(x[0], x[1], x[2], x[3]);
    } else {
      row[j] = x[0];
    }
  }
}

template <class T, int Width>
void launch_gather(const ResidentData& data, const FeatureScale& scale, const BatchRows& batch,
                   const StepState* state, const GatherOutputs& to, cudaStream_t stream) {
  const std::int64_t vectors = (data.columns + Width - 1) / Width;
  const auto group = static_cast<unsigned>(
      std::bit_ceil(static_cast<std::uint64_t>(vectors < kWarpSize ? vectors : kWarpSize)));
  const std::int64_t blocks = (batch.rows * group + kGatherThreads - 1) / kGatherThreads;
  launch({.grid = static_cast<unsigned>(blocks), .block = kGatherThreads, .stream = stream},
         gather_kernel<T, Width>, data, scale, batch, state, to, group);
}

void gather(const ResidentData& data, const FeatureScale& scale, const BatchRows& batch,
            const StepState* state, const GatherOutputs& to, cudaStream_t stream) {
  check_features(data);
  if (batch.rows == 0) return;
  const bool four = data.columns % 4 == 0 && to.stride % 4 == 0 &&
                    reinterpret_cast<std::uintptr_t>(to.rows) % sizeof(float4) == 0;
  const auto go = data.type == FeatureType::uint8
                      ? (four ? launch_gather<std::uint8_t, 4> : launch_gather<std::uint8_t, 1>)
                      : (four ? launch_gather<float, 4> : launch_gather<float, 1>);
  go(data, scale, batch, state, to, stream);
}

}  // namespace lockstep
