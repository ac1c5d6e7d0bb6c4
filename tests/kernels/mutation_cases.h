// Runs of every kernel, small enough to be done again for each barrier, fence and atomic.
#pragma once

#include <cuda_runtime.h>

#include <functional>
#include <ostream>
#include <string>
#include <vector>

namespace lockstep::testing {

using Values = std::vector<float>;

struct Case {
  std::string name;
  std::function<Values(cudaStream_t)> run;  // what it gives
  // Blocks of a grid run one after the other here: what orders them shows in races alone.
  bool by_races_alone = false;

  friend void PrintTo(const Case& test, std::ostream* to) { *to << test.name; }
};

std::vector<Case> all_cases();

}  // namespace lockstep::testing
