// ReLU on rows in memory, with the dropout behind it: for products whose kernels leave both out.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "kernels/device_rows.h"
#include "kernels/dropout.h"

namespace lockstep {

// values = dropout(relu(values)), in place; the mask may be off. NaN stays NaN. Nothing is launched
// where there are no rows.
void relu_rows(const DropoutMask& dropout, DeviceRows<float> values, std::int64_t rows,
               std::int64_t columns, cudaStream_t stream);

// dx = x > 0 ? scale * dx : 0, in place, where x is what relu_rows() left and the scale that of its
// mask, 1 where that was off. Nothing is launched where there are no rows.
void relu_backward_rows(const DropoutMask& dropout, DeviceRows<const float> x, DeviceRows<float> dx,
                        std::int64_t rows, std::int64_t columns, cudaStream_t stream);

}  // namespace lockstep
