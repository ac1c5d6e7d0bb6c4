// Shapes: flat arrays of n, a multiple of 4.
// Algorithm: a thread takes four.
// Floor: 6 n bytes of traffic (8 n to scale); one stage.
#include "kernels/device.h"
#include "kernels/launch.h"
#include "kernels/wire.h"

namespace lockstep {

constexpr unsigned kWireThreads = 256;

struct alignas(8) FourOnWire {
  __nv_bfloat162 low, high;
};

__global__ void __launch_bounds__(kWireThreads)
    pack_bf16_kernel(const float* from, __nv_bfloat16* to, std::size_t n) {
  const std::size_t i = 4 * (std::size_t{blockIdx.x} * kWireThreads + threadIdx.x);
  if (i >= n) return;
  const float4 x = *reinterpret_cast<const float4*>(from + i);
  *reinterpret_cast<FourOnWire*>(to + i) = {__floats2bfloat162_rn(x.x, x.y),
                                            __floats2bfloat162_rn(x.z, x.w)};
}

__global__ void __launch_bounds__(kWireThreads)
    unpack_bf16_kernel(const __nv_bfloat16* from, float* to, std::size_t n) {
  const std::size_t i = 4 * (std::size_t{blockIdx.x} * kWireThreads + threadIdx.x);
  if (i >= n) return;
  const FourOnWire x = *reinterpret_cast<const FourOnWire*>(from + i);
  *reinterpret_cast<float4*>(to + i) = make_float4(__low2float(x.low), __high2float(x.low),
                                                   __low2float(x.high), __high2float(x.high));
}

__global__ void __launch_bounds__(kWireThreads)
    scale_values_kernel(float* values, std::size_t n, float factor) {
  const std::size_t i = 4 * (std::size_t{blockIdx.x} * kWireThreads + threadIdx.x);
  if (i >= n) return;
  float4* place = reinterpret_cast<float4*>(values + i);
  const float4 x = *place;
  *place = make_float4(factor * x.x, factor * x.y, factor * x.z, factor * x.w);
}

static unsigned blocks_of_four(std::size_t n) {
  return static_cast<unsigned>((n / 4 + kWireThreads - 1) / kWireThreads);
}

void pack_bf16(const float* from, __nv_bfloat16* to, std::size_t n, cudaStream_t stream) {
  if (n == 0) return;
  launch({.grid = blocks_of_four(n), .block = kWireThreads, .stream = stream}, pack_bf16_kernel,
         from, to, n);
}

void unpack_bf16(const __nv_bfloat16* from, float* to, std::size_t n, cudaStream_t stream) {
  if (n == 0) return;
  launch({.grid = blocks_of_four(n), .block = kWireThreads, .stream = stream}, unpack_bf16_kernel,
         from, to, n);
}

void scale_values(float* values, std::size_t n, float factor, cudaStream_t stream) {
  if (n == 0) return;
  launch({.grid = blocks_of_four(n), .block = kWireThreads, .stream = stream}, scale_values_kernel,
         values, n, factor);
}

}  // namespace lockstep
