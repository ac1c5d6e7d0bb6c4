#include "backend/cuda_backend.h"

#include <string>

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
    const GpuMemory gpu = gpu_memory(device_);  // and makes it the thread's current one
    const auto needed = static_cast<int64_t>(cuda_step_bytes(model, layout, options));
    if (needed > gpu.free) refuse(model, layout, options, needed, gpu.free);
    return make_cuda_step(model, layout, normalization, memory, options);
  }

  bool train_needs_gradients(const Model&, const StepOptions&) const override { return false; }

  // Of host memory.
  size_t workspace_bytes(const Model&, const ParameterLayout&, const StepOptions&) const override {
    return 0;
  }

 private:
  // What fits, with a sixteenth left to what comes besides the step: found by halving, as memory
  // grows with the batch.
  [[noreturn]] void refuse(const Model& model, const ParameterLayout& layout,
                           const StepOptions& options, int64_t needed, int64_t free) const {
    const Error error = gpu_out_of_memory(device_, "the training step", needed, free);
    if (options.evaluate_only || options.train_batch == 0) throw error;
    const auto fits = [&](int64_t batch) {
      StepOptions smaller = options;
      smaller.train_batch = batch;
      if (options.max_batch == options.train_batch) smaller.max_batch = batch;
      return static_cast<int64_t>(cuda_step_bytes(model, layout, smaller)) <= free - free / 16;
    };
    int64_t most = 0;
    for (int64_t above = options.train_batch; above - most > 1;) {
      const int64_t middle = most + (above - most) / 2;
      (fits(middle) ? most : above) = middle;
    }
    if (most == 0) throw error;
    throw Error(ErrorKind::device,
                std::string(error.what()) + "; of a worker's batch of " +
                    std::to_string(options.train_batch) + " samples " + std::to_string(most) +
                    " would fit",
                "use --per-worker-batch " + std::to_string(most) + " or a smaller one" +
                    (model.convolutional() ? ", or --accumulate" : "") +
                    ", or end the programs that hold the memory (`nvidia-smi` names them)");
  }

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
