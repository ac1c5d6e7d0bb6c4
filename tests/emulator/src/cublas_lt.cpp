// cuBLASLt's descriptors, and what it checks before it multiplies.
#include <cstring>

#include "cublasLt.h"

struct cublasLtContext {};

struct cublasLtMatrixLayoutOpaque_t {
  cudaDataType type;
  std::uint64_t rows, columns;
  std::int64_t ld;
  std::int32_t order;
};

struct cublasLtMatmulDescOpaque_t {
  cublasComputeType_t compute;
  std::int32_t transpose_a, transpose_b;
  std::uint32_t epilogue;
  const void* bias;
};

struct cublasLtMatmulPreferenceOpaque_t {
  std::uint64_t workspace_bytes;
  std::uint32_t alignment[4];
};

using namespace lockstep::emulator;

namespace {

// What an algorithm is known by, so that one that was never chosen is refused.
constexpr std::uint64_t kAlgorithm = 0x6c6f636b73746570;
constexpr std::size_t kWorkspaceBytes = 1024;

template <class T>
cublasStatus_t assign(T& target, const void* value, std::size_t bytes) {
  if (!value || bytes != sizeof target) return CUBLAS_STATUS_INVALID_VALUE;
  std::memcpy(&target, value, bytes);
  return CUBLAS_STATUS_SUCCESS;
}

bool is_valid(const cublasLtMatrixLayoutOpaque_t& layout) {
  const std::uint64_t run = layout.order == CUBLASLT_ORDER_COL ? layout.rows : layout.columns;
  return layout.rows > 0 && layout.columns > 0 && layout.ld >= static_cast<std::int64_t>(run);
}

Matrix matrix(const void* data, const cublasLtMatrixLayoutOpaque_t& layout, bool transposed) {
  const bool columns = (layout.order == CUBLASLT_ORDER_COL) != transposed;
  return {data, columns ? 1 : layout.ld, columns ? layout.ld : 1, layout.type == CUDA_R_16BF};
}

// The shapes fit together and the types are among those that the library multiplies.
cublasStatus_t read_shape(const cublasLtMatmulDescOpaque_t& desc,
                          const cublasLtMatrixLayoutOpaque_t& a,
                          const cublasLtMatrixLayoutOpaque_t& b,
                          const cublasLtMatrixLayoutOpaque_t& c,
                          const cublasLtMatrixLayoutOpaque_t& d, Product& product) {
  if (!is_valid(a) || !is_valid(b) || !is_valid(c) || !is_valid(d)) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  const bool ta = desc.transpose_a == CUBLAS_OP_T, tb = desc.transpose_b == CUBLAS_OP_T;
  const std::uint64_t m = ta ? a.columns : a.rows, k = ta ? a.rows : a.columns;
  const std::uint64_t n = tb ? b.rows : b.columns, kb = tb ? b.columns : b.rows;
  const bool fits = k == kb && d.rows == m && d.columns == n && c.rows == m && c.columns == n;
  if (!fits || c.order != d.order) return CUBLAS_STATUS_INVALID_VALUE;
  const bool bfloat16 = a.type == CUDA_R_16BF;
  const bool types = a.type == b.type && c.type == d.type && (bfloat16 || d.type == CUDA_R_32F);
  const bool tf32 = desc.compute == CUBLAS_COMPUTE_32F_FAST_TF32;
  // A bias runs along columns: there is no such epilogue for rows.
  const bool bias = (desc.epilogue & CUBLASLT_EPILOGUE_BIAS) != 0;
  if (!types || (tf32 && bfloat16) || (bias && d.order != CUBLASLT_ORDER_COL)) {
    return CUBLAS_STATUS_NOT_SUPPORTED;
  }
  product.m = static_cast<std::int64_t>(m);
  product.n = static_cast<std::int64_t>(n);
  product.k = static_cast<std::int64_t>(k);
  product.tf32 = tf32;
  return CUBLAS_STATUS_SUCCESS;
}

bool is_aligned(const void* address, const cublasLtMatmulAlgo_t& algorithm, int operand) {
  return reinterpret_cast<std::uintptr_t>(address) % algorithm.data[1 + operand] == 0;
}

}  // namespace

namespace lockstep::emulator {

cublasStatus_t read_product(const ProductCall& call, Product& product) {
  if (!call.handle) return CUBLAS_STATUS_NOT_INITIALIZED;
  const cublasLtMatmulDescOpaque_t& desc = *call.desc;
  const cublasStatus_t status =
      read_shape(desc, *call.a_layout, *call.b_layout, *call.c_layout, *call.d_layout, product);
  if (status != CUBLAS_STATUS_SUCCESS) return status;
  const bool workspace = call.workspace && call.workspace_bytes >= kWorkspaceBytes;
  if (!workspace || !call.algorithm || call.algorithm->data[0] != kAlgorithm) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  const cublasLtMatmulAlgo_t& algorithm = *call.algorithm;
  if (!is_aligned(call.a, algorithm, 0) || !is_aligned(call.b, algorithm, 1) ||
      !is_aligned(call.c, algorithm, 2) || !is_aligned(call.d, algorithm, 3)) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  if ((desc.epilogue & CUBLASLT_EPILOGUE_BIAS) != 0) {
    if (!desc.bias) return CUBLAS_STATUS_INVALID_VALUE;
    product.bias = desc.bias;
  }
  product.a = matrix(call.a, *call.a_layout, desc.transpose_a == CUBLAS_OP_T);
  product.b = matrix(call.b, *call.b_layout, desc.transpose_b == CUBLAS_OP_T);
  product.c = matrix(call.c, *call.c_layout, false);
  product.d = matrix(call.d, *call.d_layout, false);
  product.result = call.d;
  product.alpha = *static_cast<const float*>(call.alpha);
  product.beta = *static_cast<const float*>(call.beta);
  product.relu = (desc.epilogue & CUBLASLT_EPILOGUE_RELU) != 0;
  return CUBLAS_STATUS_SUCCESS;
}

}  // namespace lockstep::emulator

std::size_t cublasLtGetVersion() {
  return 120800;
}

const char* cublasLtGetStatusName(cublasStatus_t status) {
  switch (status) {
    case CUBLAS_STATUS_SUCCESS: return "CUBLAS_STATUS_SUCCESS";
    case CUBLAS_STATUS_NOT_INITIALIZED: return "CUBLAS_STATUS_NOT_INITIALIZED";
    case CUBLAS_STATUS_ALLOC_FAILED: return "CUBLAS_STATUS_ALLOC_FAILED";
    case CUBLAS_STATUS_INVALID_VALUE: return "CUBLAS_STATUS_INVALID_VALUE";
    case CUBLAS_STATUS_ARCH_MISMATCH: return "CUBLAS_STATUS_ARCH_MISMATCH";
    case CUBLAS_STATUS_EXECUTION_FAILED: return "CUBLAS_STATUS_EXECUTION_FAILED";
    case CUBLAS_STATUS_INTERNAL_ERROR: return "CUBLAS_STATUS_INTERNAL_ERROR";
    case CUBLAS_STATUS_NOT_SUPPORTED: return "CUBLAS_STATUS_NOT_SUPPORTED";
  }
  return "unknown";
}

const char* cublasLtGetStatusString(cublasStatus_t status) {
  return cublasLtGetStatusName(status);
}

cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) {
  *handle = new cublasLtContext;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) {
  delete handle;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* layout, cudaDataType type,
                                          std::uint64_t rows, std::uint64_t columns,
                                          std::int64_t ld) {
  *layout = new cublasLtMatrixLayoutOpaque_t{type, rows, columns, ld, CUBLASLT_ORDER_COL};
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t layout,
                                                cublasLtMatrixLayoutAttribute_t attribute,
                                                const void* value, std::size_t bytes) {
  switch (attribute) {
    case CUBLASLT_MATRIX_LAYOUT_TYPE: return assign(layout->type, value, bytes);
    case CUBLASLT_MATRIX_LAYOUT_ORDER: return assign(layout->order, value, bytes);
    case CUBLASLT_MATRIX_LAYOUT_ROWS: return assign(layout->rows, value, bytes);
    case CUBLASLT_MATRIX_LAYOUT_COLS: return assign(layout->columns, value, bytes);
    case CUBLASLT_MATRIX_LAYOUT_LD: return assign(layout->ld, value, bytes);
  }
  return CUBLAS_STATUS_INVALID_VALUE;
}

cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) {
  delete layout;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* desc, cublasComputeType_t compute,
                                        cudaDataType_t scale) {
  if (scale != CUDA_R_32F) return CUBLAS_STATUS_NOT_SUPPORTED;
  *desc = new cublasLtMatmulDescOpaque_t{compute, CUBLAS_OP_N, CUBLAS_OP_N,
                                         CUBLASLT_EPILOGUE_DEFAULT, nullptr};
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t desc,
                                              cublasLtMatmulDescAttributes_t attribute,
                                              const void* value, std::size_t bytes) {
  switch (attribute) {
    case CUBLASLT_MATMUL_DESC_TRANSA: return assign(desc->transpose_a, value, bytes);
    case CUBLASLT_MATMUL_DESC_TRANSB: return assign(desc->transpose_b, value, bytes);
    case CUBLASLT_MATMUL_DESC_EPILOGUE: return assign(desc->epilogue, value, bytes);
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER: return assign(desc->bias, value, bytes);
  }
  return CUBLAS_STATUS_INVALID_VALUE;
}

cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t desc) {
  delete desc;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* preference) {
  *preference = new cublasLtMatmulPreferenceOpaque_t{0, {256, 256, 256, 256}};
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
                                                    cublasLtMatmulPreferenceAttributes_t attribute,
                                                    const void* value, std::size_t bytes) {
  if (attribute == CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES) {
    return assign(preference->workspace_bytes, value, bytes);
  }
  const int operand = attribute - CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES;
  if (operand < 0 || operand > 3) return CUBLAS_STATUS_INVALID_VALUE;
  return assign(preference->alignment[operand], value, bytes);
}

cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference) {
  delete preference;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t handle, cublasLtMatmulDesc_t desc,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t preference, int requested,
                                              cublasLtMatmulHeuristicResult_t results[],
                                              int* found) {
  *found = 0;
  if (!handle) return CUBLAS_STATUS_NOT_INITIALIZED;
  if (requested < 1 || preference->workspace_bytes < kWorkspaceBytes) {
    return CUBLAS_STATUS_NOT_SUPPORTED;
  }
  Product product{};
  const cublasStatus_t status = read_shape(*desc, *a, *b, *c, *d, product);
  if (status != CUBLAS_STATUS_SUCCESS) return status;
  results[0] = {};
  results[0].algo.data[0] = kAlgorithm;
  for (int i = 0; i < 4; ++i) results[0].algo.data[1 + i] = preference->alignment[i];
  results[0].workspaceSize = kWorkspaceBytes;
  results[0].state = CUBLAS_STATUS_SUCCESS;
  *found = 1;
  return CUBLAS_STATUS_SUCCESS;
}
