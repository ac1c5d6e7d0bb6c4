// The experiments that are built into the program: experiments/*.toml, embedded by CMake.
#pragma once

#include <span>
#include <string_view>

namespace lockstep::cli {

struct Experiment {
  std::string_view name;  // "mlp-mnist"
  std::string_view text;  // its TOML
};

// In alphabetical order.
std::span<const Experiment> experiments();

}  // namespace lockstep::cli
