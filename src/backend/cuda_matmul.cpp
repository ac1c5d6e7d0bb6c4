// cuBLASLt. It thinks in columns: the row-major C [m, n] is its column-major C^T [n, m], which is
// op(B)^T op(A)^T, so that B is its first operand, and the bias runs along its rows as its epilogue
// wants it.
#include "backend/cuda_matmul.h"

#include <cublasLt.h>
#include <fmt/format.h>

#include <map>

#include "backend/cuda_memory.h"
#include "kernels/check.h"
#include "lockstep/config.h"

namespace lockstep {

namespace {

constexpr uint32_t kAlignment = 16;  // bytes, of every address

void check_cublas(cublasStatus_t status, const char* what, const char* file = __builtin_FILE(),
                  int line = __builtin_LINE()) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  throw Error(
      ErrorKind::device,
      fmt::format("{} failed at {}:{}: {}", what, file, line, cublasLtGetStatusName(status)),
      "use the program's own kernels: --gemm own");
}

// What cuBLASLt makes and wants destroyed.
template <class T, cublasStatus_t (*Destroy)(T)>
class Handle {
 public:
  Handle() = default;
  ~Handle() {
    if (value_) (void)Destroy(value_);
  }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
  T get() const { return value_; }
  T* out() { return &value_; }

 private:
  T value_ = nullptr;
};

using Library = Handle<cublasLtHandle_t, cublasLtDestroy>;
using Layout = Handle<cublasLtMatrixLayout_t, cublasLtMatrixLayoutDestroy>;
using Operation = Handle<cublasLtMatmulDesc_t, cublasLtMatmulDescDestroy>;
using Preference = Handle<cublasLtMatmulPreference_t, cublasLtMatmulPreferenceDestroy>;

template <class T>
void set(const Operation& operation, cublasLtMatmulDescAttributes_t attribute, const T& value) {
  check_cublas(cublasLtMatmulDescSetAttribute(operation.get(), attribute, &value, sizeof value),
               "cublasLtMatmulDescSetAttribute");
}

template <class T>
void set(const Preference& preference, cublasLtMatmulPreferenceAttributes_t attribute,
         const T& value) {
  check_cublas(
      cublasLtMatmulPreferenceSetAttribute(preference.get(), attribute, &value, sizeof value),
      "cublasLtMatmulPreferenceSetAttribute");
}

void make(Layout& layout, cudaDataType_t type, int64_t rows, int64_t columns, int64_t ld) {
  check_cublas(cublasLtMatrixLayoutCreate(layout.out(), type, static_cast<uint64_t>(rows),
                                          static_cast<uint64_t>(columns), ld),
               "cublasLtMatrixLayoutCreate");
}

cublasComputeType_t compute_type(Precision precision) {
  return precision == Precision::tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
}

cublasOperation_t operation_of(MatmulOperand operand) {
  return operand == MatmulOperand::transposed ? CUBLAS_OP_T : CUBLAS_OP_N;
}

cublasLtEpilogue_t epilogue_of(MatmulEpilogue epilogue) {
  switch (epilogue) {
    case MatmulEpilogue::none: return CUBLASLT_EPILOGUE_DEFAULT;
    case MatmulEpilogue::bias: return CUBLASLT_EPILOGUE_BIAS;
    case MatmulEpilogue::bias_relu: return CUBLASLT_EPILOGUE_RELU_BIAS;
  }
  return CUBLASLT_EPILOGUE_DEFAULT;
}

// A shape's descriptors and algorithm, made once: the library searches for longer than a small
// product takes.
struct Plan {
  Operation operation;
  Layout first, second, result;
  cublasLtMatmulAlgo_t algorithm{};
  size_t workspace_bytes = 0;
};

void describe(Plan& plan, const MatmulShape& shape) {
  const cudaDataType_t in = shape.precision == Precision::bf16 ? CUDA_R_16BF : CUDA_R_32F;
  const cudaDataType_t out = shape.output == MatmulOutput::bf16 ? CUDA_R_16BF : CUDA_R_32F;
  const bool a_lies = shape.a == MatmulOperand::as_it_lies;
  const bool b_lies = shape.b == MatmulOperand::as_it_lies;
  make(plan.first, in, b_lies ? shape.n : shape.k, b_lies ? shape.k : shape.n, shape.ldb);
  make(plan.second, in, a_lies ? shape.k : shape.m, a_lies ? shape.m : shape.k, shape.lda);
  make(plan.result, out, shape.n, shape.m, shape.ldc);
  check_cublas(
      cublasLtMatmulDescCreate(plan.operation.out(), compute_type(shape.precision), CUDA_R_32F),
      "cublasLtMatmulDescCreate");
  set(plan.operation, CUBLASLT_MATMUL_DESC_TRANSA, operation_of(shape.b));
  set(plan.operation, CUBLASLT_MATMUL_DESC_TRANSB, operation_of(shape.a));
  set(plan.operation, CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue_of(shape.epilogue));
}

void choose_algorithm(Plan& plan, const Library& library, const MatmulShape& shape) {
  Preference preference;
  check_cublas(cublasLtMatmulPreferenceCreate(preference.out()), "cublasLtMatmulPreferenceCreate");
  set(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, kMatmulWorkspaceBytes);
  for (const auto attribute :
       {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES}) {
    set(preference, attribute, kAlignment);
  }
  cublasLtMatmulHeuristicResult_t best{};
  int found = 0;
  const cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(
      library.get(), plan.operation.get(), plan.first.get(), plan.second.get(), plan.result.get(),
      plan.result.get(), preference.get(), 1, &best, &found);
  if (status == CUBLAS_STATUS_NOT_SUPPORTED || (status == CUBLAS_STATUS_SUCCESS && found == 0)) {
    throw Error(ErrorKind::device,
                fmt::format("cuBLASLt has no algorithm for the product [{}, {}] x [{}, {}] in {}",
                            shape.m, shape.k, shape.k, shape.n, to_string(shape.precision)),
                "use the program's own kernels: --gemm own");
  }
  check_cublas(status, "cublasLtMatmulAlgoGetHeuristic");
  plan.algorithm = best.algo;
  plan.workspace_bytes = best.workspaceSize;
}

void require_aligned(const void* address, const char* name) {
  if (reinterpret_cast<uintptr_t>(address) % kAlignment == 0) return;
  throw Error(ErrorKind::runtime,
              fmt::format("matrix product: {} is not at a multiple of {} bytes", name, kAlignment));
}

class CublasMatmul final : public Matmul {
 public:
  CublasMatmul() {
    check_cublas(cublasLtCreate(library_.out()), "cublasLtCreate");
    check_allocation(cudaMalloc(&workspace_, kMatmulWorkspaceBytes), "cuBLASLt's workspace",
                     kMatmulWorkspaceBytes);
  }
  ~CublasMatmul() override { (void)cudaFree(workspace_); }
  CublasMatmul(const CublasMatmul&) = delete;
  CublasMatmul& operator=(const CublasMatmul&) = delete;

  void prepare(const MatmulShape& shape) override { (void)plan_of(shape); }

  void run(const MatmulShape& shape, const void* a, const void* b, const void* bias, void* c,
           cudaStream_t stream) override {
    require_aligned(a, "A");
    require_aligned(b, "B");
    require_aligned(bias, "the bias");
    require_aligned(c, "C");
    const Plan& plan = plan_of(shape);
    if (bias) set(plan.operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias);
    const float one = 1.0F;
    const float keep = shape.sum == MatmulSum::add ? 1.0F : 0.0F;
    check_cublas(
        cublasLtMatmul(library_.get(), plan.operation.get(), &one, b, plan.first.get(), a,
                       plan.second.get(), &keep, c, plan.result.get(), c, plan.result.get(),
                       &plan.algorithm, workspace_, plan.workspace_bytes, stream),
        "cublasLtMatmul");
  }

 private:
  const Plan& plan_of(const MatmulShape& shape) {
    if (const auto found = plans_.find(shape); found != plans_.end()) return *found->second;
    auto plan = std::make_unique<Plan>();
    describe(*plan, shape);
    choose_algorithm(*plan, library_, shape);
    return *plans_.emplace(shape, std::move(plan)).first->second;
  }

  Library library_;
  std::map<MatmulShape, std::unique_ptr<Plan>> plans_;
  void* workspace_ = nullptr;
};

}  // namespace

std::unique_ptr<Matmul> make_cublas_matmul() {
  return std::make_unique<CublasMatmul>();
}

}  // namespace lockstep
