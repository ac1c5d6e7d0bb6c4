// Weights that threads share without locks (Hogwild!, Niu et al. 2011), free of data races.
//
// Shared weights live in an array of 64-bit words, two floats each, and are touched only by relaxed
// atomic loads and stores of whole words: a reader sees each word as some writer left it, an update
// may be lost between a load and its store, and nothing is undefined behaviour.
#pragma once

#include <cstdint>
#include <span>

#include "lockstep/math.h"

namespace lockstep {

// Two floats, the lower address first. Only the functions below look inside.
using SharedFloats = uint64_t;

// Copies all of `shared` to `dst`. REQUIRES: dst.size() == 2 * shared.size().
void load_relaxed(std::span<float> dst, std::span<const SharedFloats> shared);

// Overwrites `shared` from `src`. REQUIRES: src.size() == 2 * shared.size().
void store_relaxed(std::span<SharedFloats> shared, std::span<const float> src);

enum class SgdForm { plain, momentum, nesterov };

// One SGD update of the shared weights by math.h's formula: relaxed load, arithmetic, relaxed
// store, a cache line or two at a time. `velocity` is the calling worker's own and empty for
// SgdForm::plain. REQUIRES: sizes are 2 * shared.size(), a multiple of kPadFloats.
void sgd_relaxed(const UpdateScalars& scalars, SgdForm form, std::span<SharedFloats> shared,
                 std::span<const float> gradients, std::span<float> velocity);

}  // namespace lockstep
