#include "backend/cuda_model.h"

#include <algorithm>
#include <iterator>
#include <vector>

#include "backend/logistic_step.h"
#include "backend/profiler_range.h"
#include "kernels/add_gradients.h"
#include "kernels/gemm_plan.h"
#include "kernels/shared_step.h"
#include "kernels/value_summary.h"

namespace lockstep {

namespace {

// A part of a step in the stream that computes, for its trace.
TraceEvent part_of_step(TracePhase phase) {
  return {.phase = phase, .track = TraceTrack::compute_stream};
}

std::vector<CudaBatch> without_empty(std::span<const CudaBatch> parts) {
  std::vector<CudaBatch> present;
  std::ranges::copy_if(parts, std::back_inserter(present),
                       [](const CudaBatch& part) { return part.rows.rows > 0; });
  return present;
}

}  // namespace

CudaModel::CudaModel(const Model& model, const ParameterLayout& layout, const StepMemory& memory,
                     const StepOptions& options, cudaStream_t stream)
    : layout_(layout),
      memory_(memory),
      rule_(update_rule(options.optimizer)),
      values_(layout.size()),
      gradients_(options.evaluate_only ? 0 : layout.size() + kTailFloats),
      part_gradients_(options.evaluate_only || options.accumulate == 1 ? 0 : layout.size()),
      states_(options.evaluate_only ? 0 : memory.state.size()),
      loss_scratch_(1) {
  loss_scratch_.clear(stream);
  gradients_.clear(stream);  // padding stays zero
  part_gradients_.clear(stream);
  values_.upload(memory_.values, stream);
  if (states_.size() > 0) states_.upload(memory_.state, stream);
  if (is_logistic(model) && model.inputs <= kLogisticColumns) {
    logistic_scratch_ = DeviceArray<float>(logistic_scratch_floats(model.inputs));
    logits_ = DeviceArray<float>(options.max_batch);
  } else {
    network_.emplace(model, layout, options, loss_scratch_.data());
  }
}

ParameterPointers CudaModel::parameters() const {
  float* states = states_.data();
  const bool second = states_.size() > layout_.size();
  return {.values = values_.data(),
          .gradients = gradients_.data(),
          .state0 = states,
          .state1 = second ? states + layout_.size() : nullptr};
}

LogisticModel CudaModel::logistic(const CudaBatch& batch) const {
  return {.data = *batch.data,
          .scale = *batch.scale,
          .values = values_.data(),
          .weight = layout_.tensors()[0].offset,
          .bias = layout_.tensors()[1].offset};
}

void CudaModel::queue_gradients(const CudaBatch& part, float* to, StepState* state,
                                CudaPhases* phases, cudaStream_t stream) {
  if (!network_) {
    logistic_gradient(logistic(part), part.rows, state, to,
                      {logistic_scratch_.data(), loss_scratch_.data()}, stream);
    return;
  }
  network_->gather(part, state, stream);
  if (phases) phases->end(&StepSeconds::data, part_of_step(TracePhase::data), stream);
  network_->gradients(part, values_.data(), to, state, stream);
}

bool CudaModel::updates_in_one(std::span<const CudaBatch> parts) const {
  if (parts.size() > 1) return false;
  return !network_ || network_->updates_in_one(parts[0].rows.rows);
}

void CudaModel::queue_step(std::span<const CudaBatch> parts, const StepPointers& step,
                           CudaPhases* phases, cudaStream_t stream) {
  const ProfilerRange named("forward, backward, update");
  if (without_empty(parts).empty()) return advance_step(step, stream);  // no samples, no step
  if (phases) phases->begin(stream);
  if (!network_ && parts.size() == 1) {
    logistic_train(logistic(parts[0]), parts[0].rows, rule_, parameters(), step,
                   {logistic_scratch_.data(), loss_scratch_.data()}, stream);
    if (phases) phases->end(nullptr, part_of_step(TracePhase::fused), stream);
    return;
  }
  if (updates_in_one(parts)) {
    network_->gather(parts[0], step.state, stream);
    if (phases) phases->end(&StepSeconds::data, part_of_step(TracePhase::data), stream);
    network_->train_in_one(parts[0], rule_, parameters(), step, stream);
    if (phases) phases->end(&StepSeconds::compute, part_of_step(TracePhase::fused), stream);
    return;
  }
  bool first = true;
  for (const CudaBatch& part : without_empty(parts)) {  // which add zeros
    queue_gradients(part, first ? gradients_.data() : part_gradients_.data(), step.state, phases,
                    stream);
    if (!first) add_gradients(gradients_.data(), part_gradients_.data(), layout_.size(), stream);
    if (phases) phases->end(&StepSeconds::compute, part_of_step(TracePhase::gradients), stream);
    first = false;
  }
  update(rule_, layout_.all(), parameters(), step, stream);
  if (phases) phases->end(&StepSeconds::update, part_of_step(TracePhase::update), stream);
  advance_step(step, stream);
}

std::vector<GradientSegment> CudaModel::plan_segments(const std::vector<Range>& buckets) const {
  const bool slabs = network_ && network_->computes_slabs();
  return lockstep::plan_segments(layout_, buckets, slabs ? Slabs::allowed : Slabs::whole_layers,
                                 GemmPlan::kSmall);
}

bool CudaModel::gathers_apart(std::span<const CudaBatch> parts) const {
  return network_ && without_empty(parts).size() == 1;
}

void CudaModel::queue_gather(std::span<const CudaBatch> parts, const StepPointers& step,
                             cudaStream_t stream) {
  network_->gather(without_empty(parts)[0], step.state, stream);
}

// The last part's backward is left to queue_slabs().
void CudaModel::queue_forward(std::span<const CudaBatch> parts, const StepPointers& step,
                              Gathered gathered, cudaStream_t stream) {
  const ProfilerRange named("forward");
  const std::vector<CudaBatch> present = without_empty(parts);
  int64_t rows = 0;
  if (present.empty()) {
    check(cudaMemsetAsync(gradients_.data(), 0, layout_.size() * sizeof(float), stream),
          "cudaMemsetAsync");
  }
  for (size_t i = 0; i < present.size(); ++i) {
    const CudaBatch& part = present[i];
    rows += part.rows.rows;
    float* const to = i == 0 ? gradients_.data() : part_gradients_.data();
    if (network_ && i + 1 == present.size()) {
      if (gathered == Gathered::no) network_->gather(part, step.state, stream);
      network_->forward(part, values_.data(), step.state, stream);
      break;
    }
    queue_gradients(part, to, step.state, nullptr, stream);
    if (i > 0) add_gradients(gradients_.data(), to, layout_.size(), stream);
  }
  write_tail(tail(), rows, step, stream);
}

bool CudaModel::has_slabs(std::span<const CudaBatch> parts, const GradientSegment& segment) const {
  const size_t present = without_empty(parts).size();
  return network_ && (present > 1 || (present == 1 && !segment.slabs.empty()));
}

void CudaModel::queue_slabs(std::span<const CudaBatch> parts, const GradientSegment& segment,
                            const StepPointers& step, cudaStream_t stream) {
  if (!has_slabs(parts, segment)) return;
  const ProfilerRange named("backward");
  const std::vector<CudaBatch> present = without_empty(parts);
  float* const to = present.size() == 1 ? gradients_.data() : part_gradients_.data();
  for (const UnitSlab& slab : segment.slabs) {
    network_->backward_slab(present.back(), slab, values_.data(), to, step.state, stream);
  }
  if (present.size() == 1) return;
  for (const Range& range : segment.ranges) {
    add_gradients(gradients_.data() + range.begin, to + range.begin, range.size(), stream);
  }
}

void CudaModel::queue_reduced_update(std::span<const Range> ranges, const StepPointers& step,
                                     unsigned bucket, cudaStream_t stream) const {
  const ProfilerRange named("update", bucket);
  for (const Range& range : ranges) {
    update_reduced(rule_, range, parameters(), step, {tail(), bucket}, stream);
  }
}

// Networks of images take a large batch in several parts.
void CudaModel::evaluate(const CudaBatch& batch, std::span<float> logits, BatchMetrics* metrics,
                         cudaStream_t stream) {
  const int64_t rows = batch.rows.rows;
  const int64_t most = network_ ? network_->capacity() : rows;
  for (int64_t first = 0; first < rows; first += most) {
    CudaBatch part = batch;
    part.rows.first += first;
    part.rows.rows = std::min(most, rows - first);
    const size_t outputs = logits.size() / static_cast<size_t>(rows);
    evaluate_part(part,
                  logits.subspan(static_cast<size_t>(first) * outputs,
                                 static_cast<size_t>(part.rows.rows) * outputs),
                  metrics, stream);
  }
}

void CudaModel::evaluate_part(const CudaBatch& batch, std::span<float> logits,
                              BatchMetrics* metrics, cudaStream_t stream) {
  DeviceRows<float> computed{logits_.data(), 1};
  int64_t outputs = 1;
  if (network_) {
    network_->prepare(batch.rows.rows, stream);
    network_->gather(batch, nullptr, stream);
    network_->evaluate(batch, values_.data(), metrics, stream);
    computed = network_->logits();
    outputs = network_->outputs();
  } else {
    logistic_evaluate(logistic(batch), batch.rows, logits_.data(),
                      {.scratch = loss_scratch_.data(), .metrics = metrics, .state = nullptr},
                      stream);
  }
  if (logits.empty()) return;
  std::vector<float> rows(batch.rows.rows * computed.stride);
  check(cudaMemcpyAsync(rows.data(), computed.data, rows.size() * sizeof(float),
                        cudaMemcpyDeviceToHost, stream),
        "cudaMemcpyAsync");
  check(cudaStreamSynchronize(stream), "cudaStreamSynchronize");
  for (int64_t row = 0; row < batch.rows.rows; ++row) {
    std::copy_n(rows.data() + row * computed.stride, outputs, logits.data() + row * outputs);
  }
}

void CudaModel::write_back(cudaStream_t stream) const {
  values_.download(memory_.values, stream);
  states_.download(memory_.state, stream);
}

std::vector<ValueSummary> CudaModel::summarize_weights(cudaStream_t stream) const {
  std::vector<ValueSummary> summaries;
  for (const TensorSpec& tensor : layout_.tensors()) {
    summaries.push_back(summarize(values_.data() + tensor.offset, tensor.size, stream));
  }
  return summaries;
}

}  // namespace lockstep
