// What --gemm comes to on the device of a run.
#pragma once

#include <string>
#include <vector>

#include "lockstep/config.h"
#include "lockstep/device.h"

namespace lockstep {

struct GemmChoice {
  Gemm gemm = Gemm::own;  // automatic: to be measured
  std::string warning;    // where that is not what was asked for, or means nothing; else empty
};

// Throws Error (device) where cuBLASLt is asked for by name and `survey`, that of the build and its
// GPUs, has none.
GemmChoice choose_gemm(const Config& config, const DeviceChoice& device, const GpuSurvey& survey);

// What was measured and chosen, in a line for people; empty where nothing was measured.
std::string describe_measured(const std::vector<ProductChoice>& products);

}  // namespace lockstep
