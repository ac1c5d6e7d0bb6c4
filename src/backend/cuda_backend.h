// What this build's CUDA backend can do.
#pragma once

namespace lockstep {

// Whether a GPU has run what make_cuda_backend() makes, and not its emulator alone. `auto` chooses
// a GPU only then.
bool cuda_backend_is_proven();

}  // namespace lockstep
