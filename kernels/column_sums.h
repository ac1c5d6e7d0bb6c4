// Sums over the rows of a matrix: the gradient of a bias.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>

#include "kernels/device_rows.h"

namespace lockstep {

// Floats that column_sums() works in; may be 0.
std::size_t column_sums_workspace(std::int64_t rows, std::int64_t columns);

// sums[j] = sum over i of values[i, j], [rows, columns] to [columns], in an order that is fixed by
// the number of rows: zeros where there are none.
void column_sums(DeviceRows<const float> values, std::int64_t rows, std::int64_t columns,
                 float* sums, float* workspace, cudaStream_t stream);

}  // namespace lockstep
