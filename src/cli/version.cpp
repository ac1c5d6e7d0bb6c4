#include "train/version.h"

#include <fmt/format.h>

#include "cli/session.h"
#include "train/machine.h"

namespace lockstep::cli {

std::string version_text() {
  const Machine machine = describe_machine();
  return fmt::format(
      "lockstep {}\n"
      "matrix products  {}\n"
      "own loops        {} here, chosen at run time\n"
      "devices          cpu (this build has neither CUDA nor MPI)\n"
      "built with       {}, {}\n",
      kVersion, machine.gemm, machine.simd, kCompiler, kBuildType);
}

}  // namespace lockstep::cli
