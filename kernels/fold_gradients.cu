// Shapes: a slice of n floats, n a multiple of 4, of W workers.
// Algorithm: a thread adds four, one worker after the other.
// Floor: (W + 1) 4 n bytes of traffic; one stage.
#include "kernels/device.h"
#include "kernels/fold_gradients.h"
#include "kernels/launch.h"
#include "lockstep/error.h"

namespace lockstep {

constexpr unsigned kFoldThreads = 256;

__global__ void __launch_bounds__(kFoldThreads)
    fold_gradients_kernel(float* own, std::size_t n, FoldSources sources) {
  const std::size_t i = 4 * (std::size_t{blockIdx.x} * kFoldThreads + threadIdx.x);
  if (i >= n) return;
  float4 sum = make_float4(0.0F, 0.0F, 0.0F, 0.0F);
  bool first = true;
  for (int rank = 0; rank < sources.world_size; ++rank) {
    if ((sources.present.words[rank / 64] >> (rank % 64) & 1U) == 0) continue;
    const int place = rank - (rank > sources.rank ? 1 : 0);
    const float* from = rank == sources.rank
                            ? own
                            : sources.received + sources.stride * static_cast<std::size_t>(place);
    const float4 x = *reinterpret_cast<const float4*>(from + i);
    if (first) {
      sum = x;
    } else {
      sum.x += x.x;
      sum.y += x.y;
      sum.z += x.z;
      sum.w += x.w;
    }
    first = false;
  }
  *reinterpret_cast<float4*>(own + i) = sum;
}

void fold_gradients(float* own, std::size_t n, const FoldSources& sources, cudaStream_t stream) {
  if (n == 0) return;
  if (sources.world_size > kMostFolded) {
    throw Error(ErrorKind::usage, "--deterministic adds the gradients of at most 1024 workers",
                "use fewer workers");
  }
  const auto blocks = static_cast<unsigned>((n / 4 + kFoldThreads - 1) / kFoldThreads);
  launch({.grid = blocks, .block = kFoldThreads, .stream = stream}, fold_gradients_kernel, own, n,
         sources);
}

}  // namespace lockstep
