#include "backend/cuda_shared_step.h"

#include <algorithm>

#include "backend/profiler_range.h"
#include "kernels/shared_step.h"

namespace lockstep {

namespace {

TraceEvent in_compute(TracePhase phase, int32_t bucket = -1) {
  return {.bucket = bucket, .phase = phase, .track = TraceTrack::compute_stream};
}

}  // namespace

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
  for (auto& [twin, captured] : marked_) {
    captured.marks = std::make_unique<StreamMarks>(captured.marks->kind);
    make(captured);
  }
}

void CudaSharedStep::capture(int64_t samples, int slot, const std::vector<CudaBatch>& parts) {
  const auto [found, fresh] = steps_.try_emplace(Key{samples, slot});
  if (!fresh) return;
  found->second.samples = samples;
  found->second.parts = parts;
  make(found->second);
}

void CudaSharedStep::capture_marked(const Key& twin, Marks marks,
                                    const std::vector<CudaBatch>& parts) {
  const auto [found, fresh] = marked_.try_emplace(twin);
  if (!fresh) return;
  found->second.samples = twin.samples;
  found->second.parts = parts;
  found->second.marks = std::make_unique<StreamMarks>(marks);
  make(found->second);
}

void CudaSharedStep::make(Captured& captured) {
  const ProfilerRange range("capture");
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

// For a trace each slab by itself; what a segment's gradients add up to is known with the last.
std::vector<GradientSegment> CudaSharedStep::pieces_of(const GradientSegment& segment,
                                                       const StreamMarks* marks) const {
  if (!marks || marks->kind != Marks::trace || segment.slabs.size() < 2) return {segment};
  std::vector<GradientSegment> pieces;
  for (const UnitSlab& slab : segment.slabs) pieces.push_back({{slab}, {}});
  pieces.back().ranges = segment.ranges;
  return pieces;
}

// Of the weights that a slab's units have; a whole segment's where it is not one slab.
TraceEvent CudaSharedStep::backward_event(const GradientSegment& piece, size_t bucket) const {
  TraceEvent event = in_compute(TracePhase::backward, static_cast<int32_t>(bucket));
  if (piece.slabs.size() == 1) {
    const UnitSlab& slab = piece.slabs.front();
    const TensorSpec& weight = layout_.weight(slab.layer);
    const size_t begin = weight.offset + static_cast<size_t>(slab.first_unit * weight.columns());
    event.parameters = {begin, begin + static_cast<size_t>(slab.units * weight.columns())};
  }
  return event;
}

// With overlap a bucket leaves behind the segment that completes it, else behind the last one.
void CudaSharedStep::queue(Captured& captured, Pass pass, End end) {
  StreamMarks* const marks = pass == Pass::pieces ? nullptr : captured.marks.get();
  const bool traced = captured.marks && captured.marks->kind == Marks::trace;
  size_t next_piece = 0;
  const auto compute = [&](const auto& work) {
    if (pass == Pass::whole) return work();
    if (pass == Pass::pieces) captured.pieces.emplace_back(stream_, work);
    if (pass != Pass::launch) return;
    const ProfilerRange range("forward, backward", static_cast<int64_t>(next_piece));
    captured.pieces[next_piece++].launch(stream_);
  };
  if (marks) marks->compute.begin(stream_);
  using Gathered = CudaModel::Gathered;
  const bool apart = captured.marks && model_.gathers_apart(captured.parts);
  const Gathered gathered = apart ? Gathered::yes : Gathered::no;
  if (apart) {
    compute([&] { model_.queue_gather(captured.parts, step_, stream_); });
    if (marks) marks->compute.end(&StepSeconds::data, in_compute(TracePhase::data), stream_);
  }
  if (traced) {
    compute([&] { model_.queue_forward(captured.parts, step_, gathered, stream_); });
    if (marks) marks->compute.end(&StepSeconds::compute, in_compute(TracePhase::forward), stream_);
  }
  const size_t last = segments_.size() - 1;
  for (size_t b = 0; b <= last; ++b) {
    const bool first = b == 0 && !traced;
    for (const GradientSegment& piece : pieces_of(segments_[b], captured.marks.get())) {
      if (!first && !model_.has_slabs(captured.parts, piece)) continue;
      compute([&] {
        if (first) model_.queue_forward(captured.parts, step_, gathered, stream_);
        model_.queue_slabs(captured.parts, piece, step_, stream_);
      });
      if (!marks || !traced) continue;
      marks->compute.end(&StepSeconds::compute, backward_event(piece, b), stream_);
    }
    if (pass == Pass::pieces) continue;
    if (job_.exchange.overlap && b < last) queue_sums(captured, b, b + 1);
  }
  if (pass == Pass::pieces) return;
  if (marks && !traced) {
    marks->compute.end(&StepSeconds::compute, in_compute(TracePhase::gradients), stream_);
  }
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
  StreamMarks* const marks = captured.marks.get();
  for (size_t b = 0; b < segments_.size(); ++b) {
    exchange_->finish(b, stream_);
    const auto bucket = static_cast<int32_t>(b);
    if (marks) {
      marks->compute.end(&StepSeconds::exposed_communication,
                         in_compute(TracePhase::exposed_communication, bucket), stream_);
    }
    model_.queue_reduced_update(segments_[b].ranges, step_, static_cast<unsigned>(b), stream_);
    if (marks) {
      marks->compute.end(&StepSeconds::update, in_compute(TracePhase::update, bucket), stream_);
    }
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

void CudaSharedStep::launch_marked(const Key& twin) {
  Captured& captured = marked_.at(twin);
  count();
  if (job_.exchange.captured) return captured.whole.launch(stream_);
  captured.marks->compute.restart();
  captured.marks->communication.restart();
  queue(captured, Pass::launch, End::update);
}

void CudaSharedStep::launch_exchange(int64_t samples, int slot) {
  Captured& captured = steps_.at({samples, slot});
  if (job_.exchange.captured) return captured.exchange.launch(stream_);
  queue(captured, Pass::launch, End::none);
}

void CudaSharedStep::add_phases_to(const Key& twin, StepSeconds& seconds) const {
  const StreamMarks& marks = *marked_.at(twin).marks;
  marks.compute.add_to(seconds);
  marks.communication.add_to(seconds);
}

void CudaSharedStep::add_phases_to(const Key& twin, CudaTimeline& timeline, int64_t step) const {
  const StreamMarks& marks = *marked_.at(twin).marks;
  marks.compute.add_to(timeline, step);
  marks.communication.add_to(timeline, step);
}

bool CudaSharedStep::has_phase(double StepSeconds::*phase) const {
  return std::ranges::any_of(marked_, [&](const auto& marked) {
    const StreamMarks& marks = *marked.second.marks;
    return marks.compute.has(phase) || marks.communication.has(phase);
  });
}

size_t CudaSharedStep::nodes(int64_t samples, int slot) const {
  const Captured& captured = steps_.at({samples, slot});
  size_t nodes = captured.whole.nodes();
  for (const Graph& piece : captured.pieces) nodes += piece.nodes();
  return nodes;
}

}  // namespace lockstep
