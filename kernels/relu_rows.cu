// Shapes: values, x, dx [B, d] float32.
// Algorithm: a thread takes four units of a row, which share a draw of the dropout, a warp 128. The
// backward pass draws nothing: a dropped unit is zero in x.
// Floor: 8 B d bytes of traffic forward, 12 B d backward; one stage.
#include "kernels/device.h"
#include "kernels/gemm_tile.h"
#include "kernels/launch.h"
#include "kernels/relu_rows.h"

namespace lockstep {

using namespace device;

constexpr unsigned kReluRows = 8;  // of a block

struct Four {
  std::int64_t row, unit;
  int count;  // how many of the four exist; none: nothing to do
};

__device__ __forceinline__ Four four_of_thread(std::int64_t rows, std::int64_t columns) {
  const std::int64_t row = std::int64_t{blockIdx.x} * kReluRows + threadIdx.y;
  const std::int64_t unit = 4 * (std::int64_t{blockIdx.y} * kWarpSize + threadIdx.x);
  const std::int64_t left = row < rows ? columns - unit : 0;
  return {row, unit, static_cast<int>(left < 0 ? 0 : left < 4 ? left : 4)};
}

__global__ void __launch_bounds__(kWarpSize* kReluRows)
    relu_rows_kernel(DropoutMask dropout, DeviceRows<float> values, std::int64_t rows,
                     std::int64_t columns, bool aligned) {
  const Four at = four_of_thread(rows, columns);
  if (at.count == 0) return;
  float* place = values.data + at.row * values.stride + at.unit;
  const float4 v = load_four(place, at.count, aligned);
  // max(0, v) would turn NaN into 0 and hide a diverged run.
  float four[4] = {v.x < 0 ? 0 : v.x, v.y < 0 ? 0 : v.y, v.z < 0 ? 0 : v.z, v.w < 0 ? 0 : v.w};
  if (dropout.on()) drop(dropout, static_cast<int>(at.row), static_cast<int>(at.unit), four);
  store_four(place, four, at.count, aligned);
}

__global__ void __launch_bounds__(kWarpSize* kReluRows)
    relu_backward_rows_kernel(float scale, DeviceRows<const float> x, DeviceRows<float> dx,
                              std::int64_t rows, std::int64_t columns, bool aligned) {
  const Four at = four_of_thread(rows, columns);
  if (at.count == 0) return;
  float* place = dx.data + at.row * dx.stride + at.unit;
  const float4 outputs = load_four(x.data + at.row * x.stride + at.unit, at.count, aligned);
  const float4 v = load_four(place, at.count, aligned);
  const float four[4] = {outputs.x > 0 ? scale * v.x : 0, outputs.y > 0 ? scale * v.y : 0,
                         outputs.z > 0 ? scale * v.z : 0, outputs.w > 0 ? scale * v.w : 0};
  store_four(place, four, at.count, aligned);
}

static Launch launch_of(std::int64_t rows, std::int64_t columns, cudaStream_t stream) {
  constexpr std::int64_t kUnits = 4 * kWarpSize;
  return {.grid = dim3(static_cast<unsigned>((rows + kReluRows - 1) / kReluRows),
                       static_cast<unsigned>((columns + kUnits - 1) / kUnits)),
          .block = dim3(kWarpSize, kReluRows),
          .stream = stream};
}

void relu_rows(const DropoutMask& dropout, DeviceRows<float> values, std::int64_t rows,
               std::int64_t columns, cudaStream_t stream) {
  if (rows == 0) return;
  launch(launch_of(rows, columns, stream), relu_rows_kernel, dropout, values, rows, columns,
         aligned_rows(values.data, values.stride));
}

void relu_backward_rows(const DropoutMask& dropout, DeviceRows<const float> x, DeviceRows<float> dx,
                        std::int64_t rows, std::int64_t columns, cudaStream_t stream) {
  if (rows == 0) return;
  launch(launch_of(rows, columns, stream), relu_backward_rows_kernel,
         dropout.on() ? dropout.keep_scale : 1.0F, x, dx, rows, columns,
         aligned_rows(x.data, x.stride) && aligned_rows(dx.data, dx.stride));
}

}  // namespace lockstep
