#include "backend/cuda_shared_step.h"

#include "kernels/shared_step.h"

namespace lockstep {

CudaSharedStep::CudaSharedStep(CudaModel& model, const ParameterLayout& layout, const EpochJob& job,
                               const StepPointers& step, cudaStream_t stream)
    : model_(model), layout_(layout), job_(job), step_(step), stream_(stream) {
  use_buckets({layout.all()});
}

void CudaSharedStep::use_buckets(const std::vector<Range>& buckets) {
  segments_ = model_.plan_segments(buckets);
  exchange_ =
      std::make_unique<CudaExchange>(job_.exchange, segments_, model_.gradients(), layout_.size());
  for (auto& [key, captured] : steps_) make(captured);
  if (!marked_.marks) return;
  marked_.marks = std::make_unique<Marks>();
  make(marked_);
}

void CudaSharedStep::capture(int64_t samples, int slot, const std::vector<CudaBatch>& parts) {
  const auto [found, fresh] = steps_.try_emplace(Key{samples, slot});
  if (!fresh) return;
  found->second.samples = samples;
  found->second.parts = parts;
  make(found->second);
}

void CudaSharedStep::capture_marked(int64_t samples, const std::vector<CudaBatch>& parts) {
  marked_.samples = samples;
  marked_.parts = parts;
  marked_.marks = std::make_unique<Marks>();
  make(marked_);
}

void CudaSharedStep::make(Captured& captured) {
  for (const CudaBatch& part : captured.parts) model_.prepare(part.rows.rows, stream_);
  captured.pieces.clear();
  captured.present = present_ranks(captured.samples, job_.world_size);
  if (!job_.exchange.captured) {
    queue(captured, Pass::pieces, End::update);
    return;
  }
  captured.whole = Graph(stream_, [&] { queue(captured, Pass::whole, End::update); });
  if (captured.marks) return;
  captured.exchange = Graph(stream_, [&] { queue(captured, Pass::whole, End::none); });
}

// With overlap a bucket leaves behind the segment that completes it, else behind the last one.
void CudaSharedStep::queue(Captured& captured, Pass pass, End end) {
  Marks* const marks = pass == Pass::pieces ? nullptr : captured.marks.get();
  size_t next_piece = 0;
  const auto compute = [&](const auto& work) {
    if (pass == Pass::whole) return work();
    if (pass == Pass::pieces) captured.pieces.emplace_back(stream_, work);
    if (pass == Pass::launch) captured.pieces[next_piece++].launch(stream_);
  };
  if (marks) marks->compute.begin(stream_);
  using Gathered = CudaModel::Gathered;
  const bool apart = captured.marks && model_.gathers_apart(captured.parts);
  const Gathered gathered = apart ? Gathered::yes : Gathered::no;
  if (apart) {
    compute([&] { model_.queue_gather(captured.parts, step_, stream_); });
    if (marks) marks->compute.end(&StepSeconds::data, stream_);
  }
  const size_t last = segments_.size() - 1;
  for (size_t b = 0; b <= last; ++b) {
    const bool first = b == 0;
    if (first || model_.has_slabs(captured.parts, segments_[b])) {
      compute([&] {
        if (first) model_.queue_forward(captured.parts, step_, gathered, stream_);
        model_.queue_slabs(captured.parts, segments_[b], step_, stream_);
      });
    }
    if (pass == Pass::pieces) continue;
    if (job_.exchange.overlap && b < last) queue_sums(captured, b, b + 1);
  }
  if (pass == Pass::pieces) return;
  if (marks) marks->compute.end(&StepSeconds::compute, stream_);
  queue_sums(captured, job_.exchange.overlap ? last : 0, last + 1);
  if (end == End::update) return queue_updates(captured);
  exchange_->finish(last, stream_);  // behind the others
}

// Of buckets [from, to).
void CudaSharedStep::queue_sums(Captured& captured, size_t from, size_t to) const {
  CudaPhases* const marks = captured.marks ? &captured.marks->communication : nullptr;
  for (size_t b = from; b < to; ++b) exchange_->begin(b, captured.present, marks, stream_);
}

void CudaSharedStep::queue_updates(Captured& captured) {
  Marks* const marks = captured.marks.get();
  for (size_t b = 0; b < segments_.size(); ++b) {
    exchange_->finish(b, stream_);
    if (marks) marks->compute.end(&StepSeconds::exposed_communication, stream_);
    model_.queue_reduced_update(segments_[b].ranges, step_, static_cast<unsigned>(b), stream_);
    if (marks) marks->compute.end(&StepSeconds::update, stream_);
  }
  advance_shared_step(step_, model_.tail(), captured.samples, stream_);
}

void CudaSharedStep::launch(int64_t samples, int slot) {
  Captured& captured = steps_.at({samples, slot});
  count();
  if (job_.exchange.captured) return captured.whole.launch(stream_);
  queue(captured, Pass::launch, End::update);
}

void CudaSharedStep::count() {
  const CommunicationCounters step = exchange_->counters();
  counters_.calls += step.calls;
  counters_.bytes += step.bytes;
  counters_.wire_bytes += step.wire_bytes;
}

void CudaSharedStep::launch_marked() {
  count();
  if (job_.exchange.captured) return marked_.whole.launch(stream_);
  marked_.marks->compute.restart();
  marked_.marks->communication.restart();
  queue(marked_, Pass::launch, End::update);
}

void CudaSharedStep::launch_exchange(int64_t samples, int slot) {
  Captured& captured = steps_.at({samples, slot});
  if (job_.exchange.captured) return captured.exchange.launch(stream_);
  queue(captured, Pass::launch, End::none);
}

void CudaSharedStep::add_phases_to(StepSeconds& seconds) const {
  marked_.marks->compute.add_to(seconds);
  marked_.marks->communication.add_to(seconds);
}

bool CudaSharedStep::has_phase(double StepSeconds::*phase) const {
  return marked_.marks &&
         (marked_.marks->compute.has(phase) || marked_.marks->communication.has(phase));
}

size_t CudaSharedStep::nodes(int64_t samples, int slot) const {
  const Captured& captured = steps_.at({samples, slot});
  size_t nodes = captured.whole.nodes();
  for (const Graph& piece : captured.pieces) nodes += piece.nodes();
  return nodes;
}

}  // namespace lockstep
