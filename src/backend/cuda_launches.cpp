#include "backend/cuda_launches.h"

#include <algorithm>
#include <map>

#include "backend/cuda_memory.h"
#include "backend/cuda_phases.h"

namespace lockstep {

namespace {

class OwnLaunches final : public CudaLaunches {
 public:
  OwnLaunches(CudaModel& model, const StepPointers& step, cudaStream_t stream)
      : model_(model), step_(step), stream_(stream) {}

  void capture(int64_t samples, int slot, const std::vector<CudaBatch>& parts) override {
    const Key key{samples, slot};
    if (!graphs_.contains(key)) graphs_.emplace(key, graph_of(parts, nullptr));
  }

  void capture_marked(int64_t, const std::vector<CudaBatch>& parts) override {
    const bool present =
        std::ranges::any_of(parts, [](const CudaBatch& part) { return part.rows.rows > 0; });
    has_marked_ = present && model_.has_phases();
    if (has_marked_) marked_ = graph_of(parts, &phases_);
  }
  bool has_marked() const override { return has_marked_; }

  void launch(int64_t samples, int slot) override { graphs_.at({samples, slot}).launch(stream_); }
  void launch_marked() override { marked_.launch(stream_); }
  size_t nodes(int64_t samples, int slot) const override {
    return graphs_.at({samples, slot}).nodes();
  }

  void add_phases_to(StepSeconds& seconds) const override { phases_.add_to(seconds); }
  bool has_phase(double StepSeconds::*phase) const override { return phases_.has(phase); }

 private:
  Graph graph_of(const std::vector<CudaBatch>& parts, CudaPhases* phases) {
    for (const CudaBatch& part : parts) model_.prepare(part.rows.rows, stream_);
    return {stream_, [&] { model_.queue_step(parts, step_, phases, stream_); }};
  }

  CudaModel& model_;
  StepPointers step_;
  cudaStream_t stream_;
  std::map<Key, Graph> graphs_;
  CudaPhases phases_;
  Graph marked_;  // with phases_
  bool has_marked_ = false;
};

}  // namespace

std::unique_ptr<CudaLaunches> make_own_launches(CudaModel& model, const StepPointers& step,
                                                cudaStream_t stream) {
  return std::make_unique<OwnLaunches>(model, step, stream);
}

}  // namespace lockstep
