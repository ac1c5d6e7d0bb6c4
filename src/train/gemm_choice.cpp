#include "train/gemm_choice.h"

#include <fmt/format.h>

#include "lockstep/error.h"

namespace lockstep {

namespace {

GemmChoice own_kernels(const char* why) {
  return {Gemm::own, fmt::format("--gemm auto takes the program's own kernels: {}", why)};
}

// A measurement may choose differently in the next run, and then other bits come out.
GemmChoice choose_automatically(const Config& config, const GpuSurvey& survey) {
  if (config.deterministic) return own_kernels("with --deterministic nothing may depend on times");
  if (!survey.cublas) return own_kernels("this build has no cuBLASLt to compare them with");
  if (survey.emulated) return own_kernels("the GPU is emulated, where times mean nothing");
  return {Gemm::automatic, {}};
}

const char* name_of(LinearProduct product) {
  switch (product) {
    case LinearProduct::forward: return "forward";
    case LinearProduct::input_gradient: return "input gradient";
    case LinearProduct::weight_gradient: return "weight gradient";
  }
  return "forward";
}

}  // namespace

GemmChoice choose_gemm(const Config& config, const DeviceChoice& device, const GpuSurvey& survey) {
  if (config.gemm == Gemm::own) return {};
  if (!device.on_gpu()) {
    return {Gemm::own, fmt::format("--gemm {} changes nothing on the CPU: it chooses between "
                                   "kernels of GPUs (--device cuda)",
                                   to_string(config.gemm))};
  }
  if (config.gemm == Gemm::automatic) return choose_automatically(config, survey);
  if (!survey.cublas) {
    throw Error(ErrorKind::device, "--gemm cublas: this build has no cuBLASLt",
                "use the program's own kernels: --gemm own; or install cuBLAS (libcublas-dev of "
                "the CUDA toolkit) and build again");
  }
  return {Gemm::cublas, {}};
}

std::string describe_measured(const std::vector<ProductChoice>& products) {
  std::string text;
  for (const ProductChoice& choice : products) {
    if (!choice.own_seconds || !choice.cublas_seconds) continue;
    text += fmt::format("{} {} {}-{} by {} (own {:.2f} us, cublas {:.2f} us)",
                        text.empty() ? "gemm:" : ",", name_of(choice.product), choice.inputs,
                        choice.outputs, to_string(choice.gemm), 1e6 * *choice.own_seconds,
                        1e6 * *choice.cublas_seconds);
  }
  return text;
}

}  // namespace lockstep
