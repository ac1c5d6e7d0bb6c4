// A training step that several GPUs do together: each computes the gradients of its share of a
// global batch, buckets of them are summed while later ones are computed, and every replica is
// updated alike.
//
// With several GPUs in a process the computation up to each bucket is a graph of its own and the
// sums are queued between them: NCCL calls of several threads in captures can wait for each other
// for ever. With one GPU a process all of the step, sums and update too, is one graph.
#pragma once

#include <map>
#include <memory>
#include <vector>

#include "backend/cuda_exchange.h"
#include "backend/cuda_launches.h"
#include "backend/cuda_phases.h"

namespace lockstep {

class CudaSharedStep final : public CudaLaunches {
 public:
  // All references must outlive it. `step.report` is of a training.
  CudaSharedStep(CudaModel& model, const ParameterLayout& layout, const EpochJob& job,
                 const StepPointers& step, cudaStream_t stream);

  // What is captured is made anew. REQUIRES: none of it is under way.
  void use_buckets(const std::vector<Range>& buckets);
  size_t buckets() const { return segments_.size(); }

  void capture(int64_t samples, int slot, const std::vector<CudaBatch>& parts) override;
  void capture_marked(const Key& twin, Marks marks, const std::vector<CudaBatch>& parts) override;
  bool has_marked(const Key& twin) const override { return marked_.contains(twin); }
  void launch(int64_t samples, int slot) override;
  void launch_marked(const Key& twin) override;
  size_t nodes(int64_t samples, int slot) const override;
  void add_phases_to(const Key& twin, StepSeconds& seconds) const override;
  void add_phases_to(const Key& twin, CudaTimeline& timeline, int64_t step) const override;
  bool has_phase(double StepSeconds::*phase) const override;

  // Gathering, forward, backward and exchange, without an update. REQUIRES: capture() of the same.
  void launch_exchange(int64_t samples, int slot);

  // Of the steps launched so far.
  const CommunicationCounters& counters() const { return counters_; }

 private:
  enum class Pass {
    pieces,  // each piece of computation becomes a graph; nothing else is done
    launch,  // the pieces' graphs are launched, with what belongs between them
    whole,   // all is queued, while the stream is captured
  };
  struct StreamMarks {
    Marks kind;
    CudaPhases compute, communication;
  };
  struct Captured {
    int64_t samples = 0;
    std::vector<CudaBatch> parts;
    PresentRanks present;
    std::vector<Graph> pieces;
    Graph whole, exchange;  // job.exchange.captured
    std::unique_ptr<StreamMarks> marks;
  };
  enum class End { update, none };
  // What is computed of a segment between two marks.
  std::vector<GradientSegment> pieces_of(const GradientSegment& segment,
                                         const StreamMarks* marks) const;
  TraceEvent backward_event(const GradientSegment& piece, size_t bucket) const;

  void make(Captured& captured);
  void queue(Captured& captured, Pass pass, End end);
  void queue_sums(Captured& captured, size_t from, size_t to) const;
  void queue_updates(Captured& captured);
  void count();

  CudaModel& model_;
  const ParameterLayout& layout_;
  EpochJob job_;
  StepPointers step_;
  cudaStream_t stream_;
  std::vector<GradientSegment> segments_;
  std::unique_ptr<CudaExchange> exchange_;
  std::map<Key, Captured> steps_;
  std::map<Key, Captured> marked_;
  CommunicationCounters counters_;
};

}  // namespace lockstep
