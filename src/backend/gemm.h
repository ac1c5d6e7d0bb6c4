// The three matrix products of a linear layer y = x W^T, over row-major matrices. One of
// onednn_gemm.cpp and plain_gemm.cpp implements them (CMake's LOCKSTEP_GEMM).
//
// Row i of a result depends on row i of the left operand alone, so computing a product in slabs of
// rows gives the same bits as computing it whole. Results do not depend on the time of day or on
// other threads. Without rows nothing is written, an empty sum is zero.
#pragma once

#include <string>

#include "backend/matrix.h"

namespace lockstep {

// The implementation's name, version and instruction set: "oneDNN 2.6.0 (avx512_core)".
std::string gemm_library();

// Threads that the following products of the calling thread may use. Each worker sets its own:
// a library that starts a thread per core inside every worker halves the machine's throughput.
void set_gemm_threads(int threads);

// y [m, n] = x [m, k] w^T, w [n, k].
void multiply_transposed(ConstMatrix x, ConstMatrix w, Matrix y);

// dx [m, k] = dy [m, n] w [n, k].
void multiply(ConstMatrix dy, ConstMatrix w, Matrix dx);

// dw [n, k] = dy^T x, dy [m, n], x [m, k].
void multiply_left_transposed(ConstMatrix dy, ConstMatrix x, Matrix dw);

}  // namespace lockstep
