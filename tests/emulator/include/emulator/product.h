// The kernel behind the emulator's matrix products.
#pragma once

#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include <bit>
#include <cstdint>

#include "emulator/device_runtime.h"

namespace lockstep::emulator {

struct Matrix {
  const void* data;
  std::int64_t row_stride, column_stride;  // elements
  bool bfloat16;
};

// D = epilogue(alpha A B + beta C): A [m, k], B [k, n], C and D [m, n], a bias [m].
struct Product {
  std::int64_t m, n, k;
  Matrix a, b, c, d;
  void* result;      // d.data
  const void* bias;  // of D's type; null: none
  float alpha, beta;
  bool tf32;  // operands are rounded to it
  bool relu;
};

inline constexpr unsigned kProductThreads = 64;

inline float element(const Matrix& matrix, std::int64_t row, std::int64_t column) {
  const std::int64_t at = row * matrix.row_stride + column * matrix.column_stride;
  return matrix.bfloat16 ? static_cast<float>(static_cast<const __nv_bfloat16*>(matrix.data)[at])
                         : static_cast<const float*>(matrix.data)[at];
}

inline float rounded_to_tf32(float value) {
  return std::bit_cast<float>((std::bit_cast<std::uint32_t>(value) + 0x1000U) & 0xffffe000U);
}

// A thread an element of D. The workspace, where there is one, is written: who shares it between
// products that nothing orders has a race.
inline __global__ void multiply_matrices(Product p, float* workspace) {
  const std::int64_t at = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (workspace && at == 0) workspace[0] = 0.0F;
  if (at >= p.m * p.n) return;
  const std::int64_t row = at % p.m, column = at / p.m;
  constexpr std::int64_t kDepth = 16;  // of a step
  work(static_cast<std::uint64_t>(p.k / kDepth));
  float sum = 0.0F;
  for (std::int64_t i = 0; i < p.k; ++i) {
    const float x = element(p.a, row, i), y = element(p.b, i, column);
    sum += p.tf32 ? rounded_to_tf32(x) * rounded_to_tf32(y) : x * y;
  }
  float value = p.alpha * sum;
  if (p.beta != 0.0F) value += p.beta * element(p.c, row, column);
  if (p.bias) value += element({p.bias, 1, 0, p.d.bfloat16}, row, 0);
  if (p.relu && value < 0.0F) value = 0.0F;
  const std::int64_t target = row * p.d.row_stride + column * p.d.column_stride;
  if (p.d.bfloat16) {
    static_cast<__nv_bfloat16*>(p.result)[target] = value;
  } else {
    static_cast<float*>(p.result)[target] = value;
  }
}

inline cudaError_t launch_product(const Product& product, float* workspace, cudaStream_t stream) {
  cudaLaunchConfig_t config{};
  const std::int64_t elements = product.m * product.n;
  config.gridDim = static_cast<unsigned>((elements + kProductThreads - 1) / kProductThreads);
  config.blockDim = kProductThreads;
  config.stream = stream;
  return cudaLaunchKernelEx(&config, multiply_matrices, product, workspace);
}

}  // namespace lockstep::emulator
