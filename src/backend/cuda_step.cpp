#include "backend/cuda_step.h"

#include <array>
#include <atomic>
#include <chrono>
#include <limits>
#include <map>
#include <memory>
#include <thread>
#include <vector>

#include "backend/cuda_cost.h"
#include "backend/cuda_data.h"
#include "backend/cuda_feed.h"
#include "backend/cuda_model.h"
#include "lockstep/error.h"

namespace lockstep {
namespace {

// Fewer than the report has room for.
constexpr unsigned kStepsAhead = 64;
static_assert(kStepsAhead < StepReport::kRecords);

// One in so many steps is replayed with events between its phases.
constexpr int64_t kPhasesEvery = 64;

BatchMetrics difference(const BatchMetrics& a, const BatchMetrics& b) {
  return {a.loss - b.loss, a.correct - b.correct, a.count - b.count};
}

[[noreturn]] void not_on_gpus(const char* what) {
  throw Error(ErrorKind::device, std::string(what) + " is not in this version on GPUs",
              "train on the CPU: --device cpu");
}

class Seconds {
 public:
  double passed() const {
    const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - start_;
    return passed.count();
  }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

class CudaStep final : public Step, public EpochStep {
 public:
  CudaStep(const Model& model, const ParameterLayout& layout, const Normalization& normalization,
           const StepMemory& memory, const StepOptions& options)
      : model_(model),
        layout_(layout),
        options_(options),
        data_(normalization, options.data_placement, options.max_batch, stream_.get()),
        on_device_(model, layout, memory, options, stream_.get()),
        state_(1),
        evaluation_(1) {
    state_.upload({std::array<StepState, 1>{}}, stream_.get());
  }
  // What is under way uses what ends here.
  ~CudaStep() override { (void)cudaStreamSynchronize(stream_.get()); }

  EpochStep* epoch_step() override { return this; }
  std::vector<ProductChoice> products() const override { return on_device_.products(); }

  void prepare(const EpochJob& job) override {
    job_ = job;
    const bool resident = data_.place(*job.data) == DataPlacement::device;
    feed_ = resident ? make_resident_feed(job, data_) : make_streamed_feed(job, data_.scale());
    scalars_ = DeviceArray<UpdateScalars>(job.sampler->batches(job.global_batch));
    const Seconds capturing;
    for (int slot = 0; slot < feed_->slots(); ++slot) {
      for (const int64_t k : {int64_t{0}, job.sampler->batches(job.global_batch) - 1}) {
        const Captured key{rows_of(k), slot};
        if (!graphs_.contains(key)) graphs_.emplace(key, capture(k, slot, nullptr));
      }
    }
    if (on_device_.has_phases()) marked_ = capture(0, kMarkedSlot % feed_->slots(), &phases_);
    capture_seconds_ = capturing.passed();
  }

  EpochStepSetUp set_up() const override {
    return {.transfer_seconds = data_.transfer_seconds() + transfer_seconds_,
            .capture_seconds = capture_seconds_,
            .data_placement = feed_->slots() == 1 ? DataPlacement::device : DataPlacement::host};
  }

  StepCost cost() const override {
    const bool in_one = on_device_.updates_in_one(parts_of(0, 0));
    StepCost cost = cuda_step_cost(model_, layout_, options_, rows_of(0), job_.data->features.type,
                                   in_one ? GradientPlace::registers : GradientPlace::memory);
    cost.kernels = static_cast<int64_t>(graphs_.at({rows_of(0), 0}).nodes());
    cost.stages = cost.kernels;  // captured from one stream: a chain
    return cost;
  }

  void begin_epoch(const EpochPlan& plan) override {
    epoch_ = plan.epoch;
    batch_ = plan.first_batch;
    returned_ = {};
    scalars_.upload(plan.scalars, stream_.get());
    start_epoch(
        state_.data(),
        {.epoch = plan.epoch,
         .keys = job_.sampler->shuffled() ? permutation_keys(job_.sampler->seed(), plan.epoch)
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
    const int slot = static_cast<int>(launched_ % feed_->slots());
    feed_->begin(slot, epoch_, batch_, stream_.get());
    const bool marked = phases_are_due();
    (marked ? marked_ : graphs_.at({rows_of(batch_), slot})).launch(stream_.get());
    feed_->end(slot, stream_.get());
    if (marked) marked_step_ = next_step_;
    ++launched_;
    ++next_step_;
    ++batch_;
    return known_since();
  }

  BatchMetrics settle() override {
    stream_.synchronize();
    read_phases();
    return known_since();
  }

  void write_back() override {
    const Seconds copying;
    on_device_.write_back(stream_.get());
    transfer_seconds_ += copying.passed();
  }

  int64_t first_bad_step() const override { return first_bad_step_; }

  std::vector<ValueSummary> summarize_weights() override {
    return on_device_.summarize_weights(stream_.get());
  }

  BatchMetrics evaluate(const Batch& batch, std::span<float> logits) override {
    if (!batch.contiguous) not_on_gpus("evaluation of scattered samples");
    BatchMetrics metrics;
    if (batch.size() > 0) {
      evaluation_.clear(stream_.get());
      const CudaBatch rows = data_.consecutive(*batch.data, batch.contiguous_range);
      on_device_.evaluate(rows, logits, evaluation_.data(), stream_.get());
      evaluation_.download({&metrics, 1}, stream_.get());
    }
    metrics.count = batch.size();
    return metrics;
  }

  BatchMetrics gradients(const Batch&, GradientListener&) override { not_on_gpus("sync"); }
  void update(Range, const UpdateScalars&) override { not_on_gpus("sync"); }
  BatchMetrics train(const Batch&, const UpdateScalars&) override {
    not_on_gpus("a step by step strategy");
  }

  // Of the marked steps, for all of them.
  StepSeconds seconds() const override {
    const double scale = sampled_ ? static_cast<double>(launched_) / sampled_ : 0.0;
    StepSeconds all{.sampled = sampled_ > 0};
    for (const auto phase : {&StepSeconds::data, &StepSeconds::compute, &StepSeconds::update}) {
      all.*phase = sampled_ && phases_.has(phase) ? scale * phase_seconds_.*phase
                                                  : std::numeric_limits<double>::quiet_NaN();
    }
    return all;
  }
  void reset_seconds() override {
    phase_seconds_ = {};
    sampled_ = 0;
    launched_ = 0;
  }

 private:
  struct Captured {
    int64_t rows;
    int slot;
    auto operator<=>(const Captured&) const = default;
  };
  static constexpr int64_t kMarkedSlot = 1;  // the second step of a run is the first marked one

  int64_t rows_of(int64_t k) const { return job_.sampler->batch(k, job_.global_batch).size(); }

  std::vector<CudaBatch> parts_of(int64_t k, int slot) const {
    std::vector<CudaBatch> parts;
    for (int part = 0; part < options_.accumulate; ++part) {
      parts.push_back(feed_->part(slot, k, part, options_.accumulate));
    }
    return parts;
  }

  Graph capture(int64_t k, int slot, CudaPhases* phases) {
    const std::vector<CudaBatch> parts = parts_of(k, slot);
    for (const CudaBatch& part : parts) on_device_.prepare(part.rows.rows, stream_.get());
    return {stream_.get(), [&] {
              const StepPointers step{state_.data(), scalars_.data(), report_.device()};
              on_device_.queue_step(parts, step, phases, stream_.get());
            }};
  }

  // A marked step's times are read before the next one.
  bool phases_are_due() const {
    return on_device_.has_phases() && marked_step_ < 0 && launched_ % kPhasesEvery == kMarkedSlot &&
           rows_of(batch_) == rows_of(0);
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

  // REQUIRES: the marked step's last event is behind: a later step has ended. The step's own report
  // may come before that event.
  void read_phases() {
    if (marked_step_ < 0) return;
    phases_.add_to(phase_seconds_);
    ++sampled_;
    marked_step_ = -1;
  }

  // Metrics of the epoch's steps that have ended, without those returned before.
  BatchMetrics known_since() {
    const unsigned steps = done();
    if (steps == seen_) return {};
    seen_ = steps;
    const int64_t last = next_step_ - static_cast<unsigned>(next_step_ - steps) - 1;
    if (marked_step_ < last) read_phases();
    const StepRecord& record = report_.host()->of(last);
    first_bad_step_ = record.first_bad_step;
    const BatchMetrics fresh = difference(record.metrics, returned_);
    returned_ = record.metrics;
    return fresh;
  }

  const Model& model_;
  const ParameterLayout& layout_;
  StepOptions options_;
  Stream stream_;
  CudaData data_;
  CudaModel on_device_;
  DeviceArray<StepState> state_;
  DeviceArray<UpdateScalars> scalars_;  // one for each batch of an epoch
  DeviceArray<BatchMetrics> evaluation_;
  MappedValue<StepReport> report_;

  EpochJob job_;
  std::unique_ptr<CudaFeed> feed_;
  std::map<Captured, Graph> graphs_;
  CudaPhases phases_;
  Graph marked_;  // a full batch's, with phases_
  double transfer_seconds_ = 0.0, capture_seconds_ = 0.0;

  uint32_t epoch_ = 0;
  int64_t batch_ = 0;      // next of the epoch
  int64_t next_step_ = 0;  // since training began
  int64_t launched_ = 0;   // by this object
  unsigned seen_ = 0;      // of the report's steps
  int64_t first_bad_step_ = -1;
  BatchMetrics returned_;  // of the epoch
  StepSeconds phase_seconds_;
  int64_t sampled_ = 0;       // marked steps in phase_seconds_
  int64_t marked_step_ = -1;  // the one under way
};

}  // namespace

std::unique_ptr<Step> make_cuda_step(const Model& model, const ParameterLayout& layout,
                                     const Normalization& normalization, const StepMemory& memory,
                                     const StepOptions& options) {
  return std::make_unique<CudaStep>(model, layout, normalization, memory, options);
}

size_t cuda_step_bytes(const Model& model, const ParameterLayout& layout,
                       const StepOptions& options) {
  const size_t copies =
      (options.accumulate > 1 ? 3 : 2) + static_cast<size_t>(options.optimizer.state_count());
  size_t floats = copies * layout.size();
  for (const Layer& layer : model.layers) {
    if (const auto* linear = std::get_if<Linear>(&layer)) {
      floats += options.max_batch * (linear->inputs + 2 * linear->outputs);
    }
  }
  return floats * sizeof(float) + cuda_products_bytes(model, options);
}

}  // namespace lockstep
