#include "backend/cuda_backend.h"

#include "lockstep/backend.h"
#include "lockstep/error.h"

namespace lockstep {

bool cuda_backend_trains() {
  return false;
}

std::unique_ptr<Backend> make_cuda_backend(int) {
  throw Error(ErrorKind::device, "training on GPUs is not in this version yet",
              "train on the CPU: --device cpu");
}

}  // namespace lockstep
