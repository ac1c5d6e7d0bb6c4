// Shapes: from [B, d] float32, to [B, d] bfloat16.
// Algorithm: a thread takes four values of a row, a warp 128.
// Floor: 6 B d bytes of traffic; one stage.
#include "kernels/device.h"
#include "kernels/gemm_tile.h"
#include "kernels/launch.h"
#include "kernels/to_bf16.h"

namespace lockstep {

using namespace device;

constexpr unsigned kConvertedRows = 8;  // of a block

struct alignas(8) FourBf16 {
  __nv_bfloat162 low, high;
};

__global__ void __launch_bounds__(kWarpSize* kConvertedRows)
    to_bf16_kernel(DeviceRows<const float> from, DeviceRows<__nv_bfloat16> to, std::int64_t rows,
                   std::int64_t columns, bool aligned) {
  const std::int64_t row = std::int64_t{blockIdx.x} * kConvertedRows + threadIdx.y;
  const std::int64_t column = 4 * (std::int64_t{blockIdx.y} * kWarpSize + threadIdx.x);
  if (row >= rows || column >= columns) return;
  const int count = static_cast<int>(columns - column < 4 ? columns - column : 4);
  const float4 v = load_four(from.data + row * from.stride + column, count, aligned);
  __nv_bfloat16* place = to.data + row * to.stride + column;
  if (count == 4) {
    *reinterpret_cast<FourBf16*>(place) = {__floats2bfloat162_rn(v.x, v.y),
                                           __floats2bfloat162_rn(v.z, v.w)};
    return;
  }
  place[0] = __float2bfloat16_rn(v.x);
  if (count > 1) place[1] = __float2bfloat16_rn(v.y);
  if (count > 2) place[2] = __float2bfloat16_rn(v.z);
}

void to_bf16(DeviceRows<const float> from, DeviceRows<__nv_bfloat16> to, std::int64_t rows,
             std::int64_t columns, cudaStream_t stream) {
  if (rows == 0) return;
  constexpr std::int64_t kColumns = 4 * kWarpSize;
  launch({.grid = dim3(static_cast<unsigned>((rows + kConvertedRows - 1) / kConvertedRows),
                       static_cast<unsigned>((columns + kColumns - 1) / kColumns)),
          .block = dim3(kWarpSize, kConvertedRows),
          .stream = stream},
         to_bf16_kernel, from, to, rows, columns, aligned_rows(from.data, from.stride));
}

}  // namespace lockstep
