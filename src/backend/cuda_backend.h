// What this build's CUDA backend can do.
#pragma once

namespace lockstep {

// Whether make_cuda_backend() makes one that trains. `auto` chooses a GPU only where it does.
bool cuda_backend_trains();

}  // namespace lockstep
