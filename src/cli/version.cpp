#include "train/version.h"

#include <fmt/format.h>

#include "cli/session.h"
#include "comm/device_group.h"
#include "lockstep/device.h"
#include "lockstep/process_group.h"
#include "train/machine.h"

namespace lockstep::cli {

namespace {

std::string devices_text() {
  const GpuSurvey& survey = survey_gpus();
  if (!survey.built) return "cpu (this build has no CUDA)";
  const std::string nccl = nccl_version();
  return fmt::format("cpu; {}CUDA {}, code for {}; {}", survey.emulated ? "emulated " : "",
                     survey.runtime, survey.architectures,
                     nccl.empty() ? "no NCCL" : "NCCL " + nccl);
}

}  // namespace

std::string version_text() {
  const Machine machine = describe_machine();
  return fmt::format(
      "lockstep {}\n"
      "matrix products  {}\n"
      "own loops        {} here, chosen at run time\n"
      "devices          {}\n"
      "ranks            {}\n"
      "built with       {}, {}\n",
      kVersion, machine.gemm, machine.simd, devices_text(),
      mpi_version().empty() ? "none (this build has no MPI)" : mpi_version(), kCompiler,
      kBuildType);
}

}  // namespace lockstep::cli
