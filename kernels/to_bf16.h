// Float32 rows as bfloat16: operands of products that take no other.
#pragma once

#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include <cstdint>

#include "kernels/device_rows.h"

namespace lockstep {

// to[i, j] = from[i, j], rounded to nearest even. Rows of `to` begin at multiples of 8 bytes.
// Nothing is launched where there are no rows.
void to_bf16(DeviceRows<const float> from, DeviceRows<__nv_bfloat16> to, std::int64_t rows,
             std::int64_t columns, cudaStream_t stream);

}  // namespace lockstep
