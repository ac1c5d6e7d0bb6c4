#include "backend/cuda_step.h"

#include <array>
#include <atomic>
#include <limits>
#include <map>
#include <optional>
#include <thread>

#include "backend/cuda_data.h"
#include "backend/cuda_network.h"
#include "backend/logistic_step.h"
#include "kernels/logistic.h"
#include "kernels/optimizer.h"
#include "kernels/step_state.h"
#include "lockstep/error.h"

namespace lockstep {
namespace {

// Fewer than the report has room for.
constexpr unsigned kStepsAhead = 64;
static_assert(kStepsAhead < StepReport::kRecords);

BatchMetrics difference(const BatchMetrics& a, const BatchMetrics& b) {
  return {a.loss - b.loss, a.correct - b.correct, a.count - b.count};
}

[[noreturn]] void not_on_gpus(const char* what) {
  throw Error(ErrorKind::device, std::string(what) + " is not in this version on GPUs",
              "train on the CPU: --device cpu");
}

class CudaStep final : public Step, public EpochStep {
 public:
  CudaStep(const Model& model, const ParameterLayout& layout, const Normalization& normalization,
           const StepMemory& memory, const StepOptions& options)
      : model_(model),
        layout_(layout),
        memory_(memory),
        rule_(update_rule(options.optimizer)),
        data_(normalization, stream_.get()),
        values_(layout.size()),
        gradients_(options.evaluate_only ? 0 : layout.size()),
        states_(options.evaluate_only ? 0 : memory.state.size()),
        state_(1),
        evaluation_(1),
        loss_scratch_(1) {
    if (options.accumulate > 1) not_on_gpus("--accumulate");
    state_.upload({std::array<StepState, 1>{}}, stream_.get());
    loss_scratch_.clear(stream_.get());
    gradients_.clear(stream_.get());
    upload();
    if (is_logistic(model) && model.inputs <= kLogisticColumns) {
      logistic_scratch_ = DeviceArray<float>(logistic_scratch_floats(model.inputs));
      logits_ = DeviceArray<float>(options.max_batch);
    } else {
      network_.emplace(model, layout, options.max_batch, options, loss_scratch_.data());
    }
    stream_.synchronize();
  }

  EpochStep* epoch_step() override { return this; }

  void begin_epoch(const EpochPlan& plan) override {
    plan_ = plan;
    batch_ = plan.first_batch;
    returned_ = {};
    if (scalars_.size() != plan.scalars.size()) {
      graphs_.clear();  // they name its address
      scalars_ = DeviceArray<UpdateScalars>(plan.scalars.size());
    }
    scalars_.upload(plan.scalars, stream_.get());
    start_epoch(
        state_.data(),
        {.epoch = plan.epoch,
         .keys = plan.sampler->shuffled() ? permutation_keys(plan.sampler->seed(), plan.epoch)
                                          : PermutationKeys{},
         .batch = plan.first_batch,
         .step = plan.first_step},
        stream_.get());
    // Nothing is under way.
    next_step_ = plan.first_step;
    seen_ = static_cast<unsigned>(next_step_);
    std::atomic_ref(report_.host()->steps).store(seen_, std::memory_order_release);
  }

  BatchMetrics train_next() override {
    wait_for_room();
    const BatchRows rows = training_rows(*plan_.sampler, batch_, plan_.global_batch);
    graph_for(rows).launch(stream_.get());
    ++next_step_;
    ++batch_;
    return known_since();
  }

  BatchMetrics settle() override {
    stream_.synchronize();
    values_.download(memory_.values, stream_.get());
    states_.download(memory_.state, stream_.get());
    return known_since();
  }

  int64_t first_bad_step() const override { return first_bad_step_; }

  BatchMetrics evaluate(const Batch& batch, std::span<float> logits) override {
    if (!batch.contiguous) not_on_gpus("evaluation of scattered samples");
    evaluation_.clear(stream_.get());
    const CudaBatch rows{&data_.resident(*batch.data), &data_.scale(),
                         consecutive_rows(batch.contiguous_range)};
    if (batch.size() > 0) evaluate_rows(rows, logits);
    BatchMetrics metrics;
    evaluation_.download({&metrics, 1}, stream_.get());
    metrics.count = batch.size();
    return metrics;
  }

  BatchMetrics gradients(const Batch&, GradientListener&) override { not_on_gpus("sync"); }
  void update(Range, const UpdateScalars&) override { not_on_gpus("sync"); }
  BatchMetrics train(const Batch&, const UpdateScalars&) override {
    not_on_gpus("a step by step strategy");
  }

  // One graph: no phase has a time of its own.
  StepSeconds seconds() const override {
    constexpr double kFused = std::numeric_limits<double>::quiet_NaN();
    return {kFused, kFused, kFused};
  }
  void reset_seconds() override {}

 private:
  void upload() {
    values_.upload(memory_.values, stream_.get());
    if (states_.size() > 0) states_.upload(memory_.state, stream_.get());
  }

  // Steps that have ended since training began, modulo 2^32 as all counts below.
  unsigned done() const {
    return std::atomic_ref(report_.host()->steps).load(std::memory_order_acquire);
  }

  void wait_for_room() const {
    constexpr int kLooks = 1000;  // between questions whether the device is well
    for (int look = 1; static_cast<unsigned>(next_step_) - done() >= kStepsAhead; ++look) {
      std::this_thread::yield();
      if (look % kLooks != 0) continue;
      const cudaError_t error = cudaStreamQuery(stream_.get());
      if (error != cudaErrorNotReady) check(error, "a training step");
    }
  }

  // Metrics of the epoch's steps that have ended, without those returned before.
  BatchMetrics known_since() {
    const unsigned steps = done();
    if (steps == seen_) return {};
    seen_ = steps;
    const int64_t behind = static_cast<unsigned>(next_step_) - steps;
    const StepRecord& record = report_.host()->of(next_step_ - behind - 1);
    first_bad_step_ = record.first_bad_step;
    const BatchMetrics fresh = difference(record.metrics, returned_);
    returned_ = record.metrics;
    return fresh;
  }

  const Graph& graph_for(const BatchRows& rows) {
    const auto found = graphs_.find(rows.rows);
    if (found != graphs_.end()) return found->second;
    const CudaBatch batch{&data_.resident(*plan_.data), &data_.scale(), rows};
    return graphs_.try_emplace(rows.rows, stream_.get(), [&] { queue_step(batch); }).first->second;
  }

  ParameterPointers parameters() const {
    float* states = states_.data();
    const bool second = states_.size() > layout_.size();
    return {.values = values_.data(),
            .gradients = gradients_.data(),
            .state0 = states,
            .state1 = second ? states + layout_.size() : nullptr};
  }

  LogisticModel logistic(const CudaBatch& batch) const {
    return {.data = *batch.data,
            .scale = *batch.scale,
            .values = values_.data(),
            .weight = layout_.tensors()[0].offset,
            .bias = layout_.tensors()[1].offset};
  }

  void queue_step(const CudaBatch& batch) {
    const StepPointers step{state_.data(), scalars_.data(), report_.device()};
    if (!network_) {
      logistic_train(logistic(batch), batch.rows, rule_, parameters(), step,
                     {logistic_scratch_.data(), loss_scratch_.data()}, stream_.get());
      return;
    }
    network_->gradients(batch, values_.data(), gradients_.data(), state_.data(), stream_.get());
    lockstep::update(rule_, layout_.all(), parameters(), step, stream_.get());
    advance_step(step, stream_.get());
  }

  void evaluate_rows(const CudaBatch& batch, std::span<float> logits) {
    DeviceRows<float> computed{logits_.data(), 1};
    int64_t outputs = 1;
    if (network_) {
      network_->evaluate(batch, values_.data(), evaluation_.data(), stream_.get());
      computed = network_->logits();
      outputs = network_->outputs();
    } else {
      logistic_evaluate(
          logistic(batch), batch.rows, logits_.data(),
          {.scratch = loss_scratch_.data(), .metrics = evaluation_.data(), .state = nullptr},
          stream_.get());
    }
    for (int64_t row = 0; !logits.empty() && row < batch.rows.rows; ++row) {
      check(cudaMemcpyAsync(logits.data() + row * outputs, computed.data + row * computed.stride,
                            outputs * sizeof(float), cudaMemcpyDeviceToHost, stream_.get()),
            "cudaMemcpyAsync");
    }
  }

  const Model& model_;
  const ParameterLayout& layout_;
  StepMemory memory_;
  UpdateRule rule_;
  Stream stream_;
  CudaData data_;
  DeviceArray<float> values_, gradients_, states_;
  DeviceArray<StepState> state_;
  DeviceArray<UpdateScalars> scalars_;  // one for each batch of an epoch
  DeviceArray<BatchMetrics> evaluation_;
  MappedValue<StepReport> report_;
  DeviceArray<LossScratch> loss_scratch_;
  std::optional<CudaNetwork> network_;  // else logistic regression in one pass
  DeviceArray<float> logistic_scratch_, logits_;
  std::map<int64_t, Graph> graphs_;  // by rows

  EpochPlan plan_;
  int64_t batch_ = 0;      // next of the epoch
  int64_t next_step_ = 0;  // since training began
  unsigned seen_ = 0;      // of the report's steps
  int64_t first_bad_step_ = -1;
  BatchMetrics returned_;  // of the epoch
};

}  // namespace

std::unique_ptr<Step> make_cuda_step(const Model& model, const ParameterLayout& layout,
                                     const Normalization& normalization, const StepMemory& memory,
                                     const StepOptions& options) {
  return std::make_unique<CudaStep>(model, layout, normalization, memory, options);
}

size_t cuda_step_bytes(const Model& model, const ParameterLayout& layout,
                       const StepOptions& options) {
  const size_t copies = 2 + static_cast<size_t>(options.optimizer.state_count());
  size_t floats = copies * layout.size();
  for (const Layer& layer : model.layers) {
    if (const auto* linear = std::get_if<Linear>(&layer)) {
      floats += options.max_batch * (linear->inputs + 2 * linear->outputs);
    }
  }
  return floats * sizeof(float);
}

}  // namespace lockstep
