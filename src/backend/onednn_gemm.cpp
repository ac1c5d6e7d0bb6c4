#include <dnnl.h>

#include <algorithm>
#include <string>
#include <utility>

#include "backend/gemm.h"
#include "lockstep/error.h"

// Debian's oneDNN runs on OpenMP, whose thread count belongs to the calling thread. Weak: where
// oneDNN was built without OpenMP there is nothing to set.
extern "C" [[gnu::weak]] void omp_set_num_threads(int threads);

namespace lockstep {
namespace {

void check(dnnl_status_t status) {
  if (status == dnnl_success) return;
  throw Error(ErrorKind::runtime, "oneDNN's sgemm failed with status " + std::to_string(status),
              "report this with the output of `lockstep doctor`");
}

// An instruction set's bits contain those of the sets that it extends.
const char* name_of(dnnl_cpu_isa_t isa) {
  constexpr std::pair<int, const char*> kNames[] = {
      {dnnl_cpu_isa_avx512_core_amx, "AVX-512 with AMX"},
      {dnnl_cpu_isa_avx512_core_bf16, "AVX-512 with bf16"},
      {dnnl_cpu_isa_avx512_core, "AVX-512"},
      {dnnl_cpu_isa_avx2, "AVX2"},
      {dnnl_cpu_isa_avx, "AVX"},
      {dnnl_cpu_isa_sse41, "SSE4.1"}};
  for (const auto& [bits, name] : kNames) {
    if ((isa & bits) == bits) return name;
  }
  return "plain";
}

void clear(Matrix matrix) {
  for (int64_t i = 0; i < matrix.rows; ++i) std::fill_n(matrix.row(i), matrix.columns, 0.0f);
}

}  // namespace

std::string gemm_library() {
  const dnnl_version_t* version = dnnl_version();
  return "oneDNN " + std::to_string(version->major) + "." + std::to_string(version->minor) + "." +
         std::to_string(version->patch) + " (" + name_of(dnnl_get_effective_cpu_isa()) + ")";
}

void set_gemm_threads(int threads) {
  if (omp_set_num_threads) omp_set_num_threads(threads);
}

void multiply_transposed(ConstMatrix x, ConstMatrix w, Matrix y) {
  if (y.rows == 0 || y.columns == 0) return;
  check(dnnl_sgemm('N', 'T', y.rows, y.columns, x.columns, 1.0f, x.data, x.stride, w.data, w.stride,
                   0.0f, y.data, y.stride));
}

void multiply(ConstMatrix dy, ConstMatrix w, Matrix dx) {
  if (dx.rows == 0 || dx.columns == 0) return;
  check(dnnl_sgemm('N', 'N', dx.rows, dx.columns, dy.columns, 1.0f, dy.data, dy.stride, w.data,
                   w.stride, 0.0f, dx.data, dx.stride));
}

void multiply_left_transposed(ConstMatrix dy, ConstMatrix x, Matrix dw) {
  if (dy.rows == 0) return clear(dw);
  check(dnnl_sgemm('T', 'N', dw.rows, dw.columns, dy.rows, 1.0f, dy.data, dy.stride, x.data,
                   x.stride, 0.0f, dw.data, dw.stride));
}

}  // namespace lockstep
