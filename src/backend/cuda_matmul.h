// Matrix products by NVIDIA's library, for shapes where it beats kernels of our own: a thin
// interface in our terms, row-major throughout. A build without cuBLASLt has none
// (cuda_no_matmul.cpp) and runs own kernels alone.
#pragma once

#include <cuda_runtime.h>

#include <compare>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "lockstep/backend.h"

namespace lockstep {

inline constexpr size_t kMatmulWorkspaceBytes = size_t{32} << 20;  // NVIDIA's advice for Hopper

enum class MatmulOperand { as_it_lies, transposed };
enum class MatmulEpilogue { none, bias, bias_relu };
enum class MatmulSum { overwrite, add };
enum class MatmulOutput { fp32, bf16 };

// C = epilogue(op(A) op(B)), or C + op(A) op(B). op(A) is [m, k], op(B) [k, n], C [m, n], all
// row-major with rows lda, ldb, ldc elements apart: A itself is [m, k], or [k, m] where transposed,
// B is [k, n] or [n, k]. The bias [n] is added to every row, before ReLU.
struct MatmulShape {
  int64_t m = 0, n = 0, k = 0;
  int64_t lda = 0, ldb = 0, ldc = 0;
  MatmulOperand a = MatmulOperand::as_it_lies;
  MatmulOperand b = MatmulOperand::as_it_lies;
  // fp32: float32 operands and products; tf32: float32 operands, products of their TF32 roundings;
  // bf16: bfloat16 operands. Sums are float32.
  Precision precision = Precision::fp32;
  MatmulOutput output =
      MatmulOutput::fp32;  // of C and of the bias; bf16 under that precision alone
  MatmulEpilogue epilogue = MatmulEpilogue::none;
  MatmulSum sum = MatmulSum::overwrite;

  friend auto operator<=>(const MatmulShape&, const MatmulShape&) = default;
};

// Not thread-safe, and its products share one workspace: those of one Matmul must be ordered, by
// one stream or by events. Belongs to the device that was current when it was made.
class Matmul {
 public:
  virtual ~Matmul() = default;

  // Chooses the algorithm of `shape` and keeps it; run() does so itself the first time. Before a
  // stream is captured. Throws Error (device) where the library has none.
  virtual void prepare(const MatmulShape& shape) = 0;

  // Device memory, each address a multiple of 16 bytes; `bias` is null without one. Returns at
  // once. Throws Error (device) where the library refuses, Error (runtime) for addresses that are
  // not aligned.
  virtual void run(const MatmulShape& shape, const void* a, const void* b, const void* bias,
                   void* c, cudaStream_t stream) = 0;
};

// By cuBLASLt on the current device, of whose memory it takes kMatmulWorkspaceBytes; null in a
// build without it.
std::unique_ptr<Matmul> make_cublas_matmul();

}  // namespace lockstep
