// Dropout of a layer's input: for rows that no kernel of a layer drops as it writes them.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "kernels/device_rows.h"
#include "kernels/dropout.h"

namespace lockstep {

// values[i, u] = kept(samples[i], u) ? values[i, u] * keep_scale : 0, in place, bitwise as on the
// CPU. Forward and backward are the same map. Nothing is launched where the mask is off or there
// are no rows.
void dropout_rows(const DropoutMask& mask, DeviceRows<float> values, std::int64_t rows,
                  std::int64_t columns, cudaStream_t stream);

}  // namespace lockstep
