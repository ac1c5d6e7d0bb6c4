#include "backend/cuda_launches.h"

#include <algorithm>
#include <map>

#include "backend/cuda_memory.h"
#include "backend/cuda_phases.h"
#include "backend/profiler_range.h"

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

  void capture_marked(const Key& twin, Marks marks, const std::vector<CudaBatch>& parts) override {
    const bool present =
        std::ranges::any_of(parts, [](const CudaBatch& part) { return part.rows.rows > 0; });
    if (!present || (marks == Marks::figures && !model_.has_phases())) return;
    const auto [made, fresh] = marked_.try_emplace(twin);
    if (fresh) made->second.graph = graph_of(parts, &made->second.phases);
  }
  bool has_marked(const Key& twin) const override { return marked_.contains(twin); }

  void launch(int64_t samples, int slot) override { graphs_.at({samples, slot}).launch(stream_); }
  void launch_marked(const Key& twin) override { marked_.at(twin).graph.launch(stream_); }
  size_t nodes(int64_t samples, int slot) const override {
    return graphs_.at({samples, slot}).nodes();
  }

  void add_phases_to(const Key& twin, StepSeconds& seconds) const override {
    marked_.at(twin).phases.add_to(seconds);
  }
  void add_phases_to(const Key& twin, CudaTimeline& timeline, int64_t step) const override {
    marked_.at(twin).phases.add_to(timeline, step);
  }
  bool has_phase(double StepSeconds::*phase) const override {
    return std::ranges::any_of(marked_,
                               [&](const auto& marked) { return marked.second.phases.has(phase); });
  }

 private:
  struct Marked {
    CudaPhases phases;
    Graph graph;  // with them
  };

  Graph graph_of(const std::vector<CudaBatch>& parts, CudaPhases* phases) {
    const ProfilerRange range("capture");
    for (const CudaBatch& part : parts) model_.prepare(part.rows.rows, stream_);
    return {stream_, [&] { model_.queue_step(parts, step_, phases, stream_); }};
  }

  CudaModel& model_;
  StepPointers step_;
  cudaStream_t stream_;
  std::map<Key, Graph> graphs_;
  std::map<Key, Marked> marked_;
};

}  // namespace

std::unique_ptr<CudaLaunches> make_own_launches(CudaModel& model, const StepPointers& step,
                                                cudaStream_t stream) {
  return std::make_unique<OwnLaunches>(model, step, stream);
}

}  // namespace lockstep
