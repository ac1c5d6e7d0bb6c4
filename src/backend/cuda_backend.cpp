#include "backend/cuda_backend.h"

#include "backend/cuda_step.h"
#include "lockstep/backend.h"
#include "lockstep/device.h"

namespace lockstep {

namespace {

class CudaBackend final : public Backend {
 public:
  explicit CudaBackend(int device) : device_(device) {}

  std::unique_ptr<Step> compile(const Model& model, const ParameterLayout& layout,
                                const Normalization& normalization, const StepMemory& memory,
                                const StepOptions& options) override {
    const int64_t needed = static_cast<int64_t>(cuda_step_bytes(model, layout, options));
    const GpuMemory gpu = gpu_memory(device_);  // and makes it the thread's current one
    if (needed > gpu.free) throw gpu_out_of_memory(device_, "the training step", needed, gpu.free);
    return make_cuda_step(model, layout, normalization, memory, options);
  }

  bool train_needs_gradients(const Model&, const StepOptions&) const override { return false; }

  // Of host memory.
  size_t workspace_bytes(const Model&, const ParameterLayout&, const StepOptions&) const override {
    return 0;
  }

 private:
  int device_;
};

}  // namespace

bool cuda_backend_is_proven() {
  return false;
}

std::unique_ptr<Backend> make_cuda_backend(int device) {
  return std::make_unique<CudaBackend>(device);
}

}  // namespace lockstep
