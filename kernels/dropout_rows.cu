// Shapes: values [B, d] float32.
// Algorithm: a thread takes the four units of one draw, a warp 128 units of a row.
// Floor: 8 B d bytes of traffic, B d / 4 draws of about 60 integer operations; one stage.
#include "kernels/device.h"
#include "kernels/dropout_rows.h"
#include "kernels/launch.h"

namespace lockstep {

using namespace device;

constexpr unsigned kDropoutRows = 8;  // of a block

__global__ void __launch_bounds__(kWarpSize* kDropoutRows)
    dropout_rows_kernel(DropoutMask mask, DeviceRows<float> values, std::int64_t rows,
                        std::int64_t columns, bool aligned) {
  const std::int64_t i = std::int64_t{blockIdx.x} * kDropoutRows + threadIdx.y;
  const std::int64_t unit = 4 * (std::int64_t{blockIdx.y} * kWarpSize + threadIdx.x);
  if (i >= rows || unit >= columns) return;
  float* at = values.data + i * values.stride + unit;
  float four[4] = {};
  if (aligned && unit + 4 <= columns) {
    const float4 loaded = *reinterpret_cast<const float4*>(at);
    four[0] = loaded.x;
    four[1] = loaded.y;
    four[2] = loaded.z;
    four[3] = loaded.w;
    drop(mask, static_cast<int>(i), static_cast<int>(unit), four);
    *reinterpret_cast<float4*>(at) = make_float4(four[0], four[1], four[2], four[3]);
    return;
  }
#pragma unroll
  for (int u = 0; u < 4; ++u) {
    if (unit + u < columns) four[u] = at[u];
  }
  drop(mask, static_cast<int>(i), static_cast<int>(unit), four);
#pragma unroll
  for (int u = 0; u < 4; ++u) {
    if (unit + u < columns) at[u] = four[u];
  }
}

void dropout_rows(const DropoutMask& mask, DeviceRows<float> values, std::int64_t rows,
                  std::int64_t columns, cudaStream_t stream) {
  if (!mask.on() || rows == 0) return;
  constexpr std::int64_t kUnits = 4 * kWarpSize;
  launch({.grid = dim3(static_cast<unsigned>((rows + kDropoutRows - 1) / kDropoutRows),
                       static_cast<unsigned>((columns + kUnits - 1) / kUnits)),
          .block = dim3(kWarpSize, kDropoutRows),
          .stream = stream},
         dropout_rows_kernel, mask, values, rows, columns,
         aligned_rows(values.data, values.stride));
}

}  // namespace lockstep
