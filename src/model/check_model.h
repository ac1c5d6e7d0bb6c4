// Whether a model is well formed: what its makers promise and what a file must keep.
#pragma once

#include <cstdint>
#include <limits>
#include <string>

#include "lockstep/model.h"

namespace lockstep {

inline constexpr int64_t kMaxWidth = std::numeric_limits<int32_t>::max();
inline constexpr size_t kMaxLayers = 256;  // a layer's index is 8 bits of a random key
inline constexpr int64_t kMaxParameters = int64_t{1} << 40;  // 4 TiB of float32

// What is wrong with `model`: widths that do not chain or are out of range, a dropout outside
// [0, 1), outputs that do not fit the loss, too many layers or parameters. Empty where nothing is.
std::string problem_with(const Model& model);

}  // namespace lockstep
