// Linear layers by kernels of our own.
#include <algorithm>
#include <map>

#include "backend/cuda_linear.h"
#include "backend/cuda_memory.h"

namespace lockstep {

namespace {

class OwnLinear final : public LinearOps {
 public:
  explicit OwnLinear(const LinearNetwork& network) : network_(network) {}

  // A smaller batch may need more than a larger one: its products are split over more blocks. A
  // captured graph keeps the address, so each number of rows keeps its memory.
  void prepare(int rows, cudaStream_t stream) override {
    if (workspaces_.contains(rows)) return;
    size_t floats = 0;
    for (const LinearLayer& layer : network_.layers) {
      floats = std::max({floats, linear_forward_workspace(rows, layer.inputs, layer.outputs),
                         linear_backward_input_workspace(rows, layer.inputs, layer.outputs),
                         linear_backward_weight_workspace(rows, layer.inputs, layer.outputs)});
    }
    workspaces_.emplace(rows, DeviceArray<float>(floats)).first->second.clear(stream);
  }

  void forward(LinearForward pass, cudaStream_t stream) override {
    pass.workspace = workspaces_.at(pass.batch).data();
    linear_forward(pass, network_.precision, stream);
  }
  void backward_input(LinearBackwardInput pass, cudaStream_t stream) override {
    pass.workspace = workspaces_.at(pass.batch).data();
    linear_backward_input(pass, network_.precision, stream);
  }
  void backward_weight(LinearBackwardWeight pass, cudaStream_t stream) override {
    pass.workspace = workspaces_.at(pass.batch).data();
    linear_backward_weight(pass, network_.precision, stream);
  }

 private:
  LinearNetwork network_;
  std::map<int, DeviceArray<float>> workspaces_;  // by rows
};

}  // namespace

std::unique_ptr<LinearOps> make_own_linear(const LinearNetwork& network) {
  return std::make_unique<OwnLinear>(network);
}

}  // namespace lockstep
