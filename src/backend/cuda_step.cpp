#include "backend/cuda_step.h"

#include <array>
#include <chrono>
#include <deque>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "backend/cuda_cost.h"
#include "backend/cuda_data.h"
#include "backend/cuda_feed.h"
#include "backend/cuda_model.h"
#include "backend/cuda_peers.h"
#include "backend/cuda_report.h"
#include "backend/logistic_step.h"
#include "backend/profiler_range.h"
#include "kernels/logistic.h"
#include "lockstep/error.h"

namespace lockstep {
namespace {

// One in so many steps is replayed with events between its phases.
constexpr int64_t kPhasesEvery = 64;

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
    if (options.trace) timeline_.emplace(*options.trace);
    state_.upload({std::array<StepState, 1>{}}, stream_.get());
  }
  // What is under way uses what ends here.
  ~CudaStep() override { (void)cudaStreamSynchronize(stream_.get()); }

  EpochStep* epoch_step() override { return this; }
  SharedEpochStep* shared_step() override { return peers_.get(); }
  std::vector<ProductChoice> products() const override { return on_device_.products(); }

  void prepare(const EpochJob& job) override {
    const ProfilerRange range("prepare");
    job_ = job;
    const bool resident = data_.place(*job.data) == DataPlacement::device;
    feed_ = resident ? make_resident_feed(job, data_) : make_streamed_feed(job, data_.scale());
    scalars_ = DeviceArray<UpdateScalars>(job.sampler->batches(job.global_batch));
    const Seconds capturing;
    make_launches();
    for (int slot = 0; slot < feed_->slots(); ++slot) {
      for (const int64_t k : {int64_t{0}, job.sampler->batches(job.global_batch) - 1}) {
        launches_->capture(samples_of(k), slot, parts_of(k, slot));
      }
    }
    make_marked();
    capture_seconds_ = capturing.passed();
  }

  EpochStepSetUp set_up() const override {
    return {.transfer_seconds = data_.transfer_seconds() + transfer_seconds_,
            .capture_seconds = capture_seconds_,
            .data_placement = feed_->slots() == 1 ? DataPlacement::device : DataPlacement::host};
  }

  StepCost cost() const override {
    const bool in_one = on_device_.updates_in_one(parts_of(0, 0));
    StepCost cost =
        cuda_step_cost(model_, layout_, options_, job_.share(0).size(), job_.data->features.type,
                       in_one ? GradientPlace::registers : GradientPlace::memory);
    cost.kernels = static_cast<int64_t>(launches_->nodes(samples_of(0), 0));
    cost.stages = cost.kernels;  // captured from one stream: a chain
    return cost;
  }

  void begin_epoch(const EpochPlan& plan) override {
    epoch_ = plan.epoch;
    batch_ = plan.first_batch;
    scalars_.upload(plan.scalars, stream_.get());
    start_epoch(
        state_.data(),
        {.epoch = plan.epoch,
         .keys = job_.sampler->shuffled() ? permutation_keys(job_.sampler->seed(), plan.epoch)
                                          : PermutationKeys{},
         .batch = plan.first_batch,
         .step = plan.first_step},
        stream_.get());
    next_step_ = plan.first_step;
    report_.begin(next_step_);
    if (peers_) peers_->begin_epoch(next_step_);
  }

  BatchMetrics train_next() override {
    const ProfilerRange range("step", next_step_);
    wait_for_room(kStepsAhead);
    const bool recorded = options_.trace && options_.trace->recording();
    if (recorded) make_ready_to_record();
    const int slot = static_cast<int>(launched_ % feed_->slots());
    const CudaLaunches::Key twin = {samples_of(batch_), static_cast<int>(launched_ % kTwins)};
    CudaPhases* const copy = recorded ? &copies_[static_cast<size_t>(twin.slot)] : nullptr;
    if (copy) copy->restart();
    feed_->begin(slot, epoch_, batch_, copy, stream_.get());
    if (phases_are_due(twin, recorded)) {
      launches_->launch_marked(twin);
      marked_steps_.push_back({next_step_, twin, recorded});
    } else {
      launches_->launch(samples_of(batch_), slot);
    }
    feed_->end(slot, stream_.get());
    ++launched_;
    ++next_step_;
    ++batch_;
    if (peers_) peers_->queued(next_step_);
    return known_since();
  }

  BatchMetrics settle() override {
    const ProfilerRange range("wait for the steps");
    drain();
    if (peers_) peers_->read_average();
    read_phases(next_step_);
    return known_since();
  }

  void write_back() override {
    const Seconds copying;
    on_device_.write_back(stream_.get());
    transfer_seconds_ += copying.passed();
  }

  int64_t first_bad_step() const override { return report_.first_bad_step(); }

  std::vector<ValueSummary> summarize_weights() override {
    return on_device_.summarize_weights(stream_.get());
  }

  BatchMetrics evaluate(const Batch& batch, std::span<float> logits) override {
    const ProfilerRange range("evaluate");
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
    constexpr double kUnknown = std::numeric_limits<double>::quiet_NaN();
    StepSeconds all{.data = kUnknown, .compute = kUnknown, .update = kUnknown};
    all.sampled = sampled_ > 0;
    if (peers_) {
      const StepSeconds averages = peers_->average_seconds();
      all.communication = averages.communication;
      all.exposed_communication = averages.exposed_communication;
    }
    for (const auto phase : {&StepSeconds::data, &StepSeconds::compute, &StepSeconds::update,
                             &StepSeconds::communication, &StepSeconds::exposed_communication}) {
      const bool known = sampled_ && launches_->has_phase(phase);
      if (known) all.*phase = scale * phase_seconds_.*phase;
    }
    return all;
  }
  void reset_seconds() override {
    phase_seconds_ = {.communication = 0.0, .exposed_communication = 0.0};
    sampled_ = 0;
    launched_ = 0;
  }

 private:
  static constexpr int64_t kMarkedSlot = 1;  // the second step of a run is the first marked one
  // Of steps with marks, each with a twin of its own, so many may be under way: a run of one
  // overwrites its events. A multiple of the feed's slots.
  static constexpr int64_t kTwins = 4;

  struct MarkedStep {
    int64_t step;
    CudaLaunches::Key twin;
    bool recorded;  // in the trace
  };

  int64_t samples_of(int64_t k) const { return job_.batch(k).size(); }
  StepPointers pointers() const { return {state_.data(), scalars_.data(), report_.device()}; }

  std::vector<CudaBatch> parts_of(int64_t k, int slot) const {
    std::vector<CudaBatch> parts;
    for (int part = 0; part < options_.accumulate; ++part) {
      parts.push_back(feed_->part(slot, k, part, options_.accumulate));
    }
    return parts;
  }

  void make_launches() {
    if (!job_.exchange.communicator) {
      launches_ = make_own_launches(on_device_, pointers(), stream_.get());
      return;
    }
    CudaSharedStep* shared = nullptr;
    if (job_.exchange.of_gradients) {
      auto step =
          std::make_unique<CudaSharedStep>(on_device_, layout_, job_, pointers(), stream_.get());
      shared = step.get();
      launches_ = std::move(step);
    } else {
      launches_ = make_own_launches(on_device_, pointers(), stream_.get());
    }
    peers_ = std::make_unique<CudaPeers>(
        on_device_, job_, shared, state_, report_, *feed_, [this] { wait_for_room(kStepsAhead); },
        stream_.get());
    if (timeline_) peers_->record(*options_.trace, *timeline_);
  }

  // One for the figures of a result; for a trace all twins of every number of samples.
  void make_marked() {
    const int slots = feed_->slots();
    if (!options_.trace) {
      launches_->capture_marked({samples_of(0), kMarkedSlot}, CudaLaunches::Marks::figures,
                                parts_of(0, static_cast<int>(kMarkedSlot % slots)));
      return;
    }
    for (int twin = 0; twin < kTwins; ++twin) {
      for (const int64_t k : {int64_t{0}, job_.sampler->batches(job_.global_batch) - 1}) {
        launches_->capture_marked({samples_of(k), twin}, CudaLaunches::Marks::trace,
                                  parts_of(k, twin % slots));
      }
    }
  }

  // A marked step's times are read before the next one of its twin.
  bool phases_are_due(const CudaLaunches::Key& twin, bool recorded) const {
    if (!launches_->has_marked(twin)) return false;
    if (recorded) return true;
    return marked_steps_.empty() && launched_ % kPhasesEvery == kMarkedSlot &&
           samples_of(batch_) == samples_of(0);
  }

  // Reads of the steps before what the coming one would overwrite, and sees to it that the device's
  // clock is known.
  void make_ready_to_record() {
    wait_for_room(kTwins - 1);
    read_phases(steps_ended() - 1);
    if (!timeline_->is_due()) return;
    drain();
    read_phases(next_step_);
    if (peers_) peers_->read_average();
    timeline_->place(stream_.get());
  }

  void drain() {
    if (peers_) {
      peers_->wait();
    } else {
      stream_.synchronize();
    }
  }

  // Since training began.
  int64_t steps_ended() const {
    return next_step_ - static_cast<unsigned>(static_cast<unsigned>(next_step_) - report_.done());
  }

  // Returns when fewer than `steps` of the steps that are queued have not ended.
  void wait_for_room(unsigned steps) const {
    constexpr int kLooks = 1000;  // between questions whether the device is well
    for (int look = 1; static_cast<unsigned>(next_step_) - report_.done() >= steps; ++look) {
      std::this_thread::yield();
      if (look % kLooks != 0) continue;
      if (peers_) peers_->check();
      const cudaError_t error = cudaStreamQuery(stream_.get());
      if (error != cudaErrorNotReady) check(error, "a training step");
    }
  }

  // Of the marked steps before `step`. REQUIRES: their last events are behind: a later step has
  // ended, or all. A step's own report may come before that event.
  void read_phases(int64_t step) {
    while (!marked_steps_.empty() && marked_steps_.front().step < step) {
      const MarkedStep& marked = marked_steps_.front();
      if (marked.twin.samples == samples_of(0)) {
        launches_->add_phases_to(marked.twin, phase_seconds_);
        ++sampled_;
      }
      if (marked.recorded) {
        launches_->add_phases_to(marked.twin, *timeline_, marked.step);
        copies_[static_cast<size_t>(marked.twin.slot)].add_to(*timeline_, marked.step);
      }
      marked_steps_.pop_front();
    }
  }

  // Metrics of the epoch's steps that have ended, without those returned before.
  BatchMetrics known_since() {
    const std::optional<int64_t> latest = report_.latest(next_step_);
    if (!latest) return {};
    read_phases(*latest);
    return report_.take(*latest);
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
  CudaReport report_;

  EpochJob job_;
  std::unique_ptr<CudaFeed> feed_;
  std::unique_ptr<CudaLaunches> launches_;
  std::unique_ptr<CudaPeers> peers_;  // null where this worker is alone
  double transfer_seconds_ = 0.0, capture_seconds_ = 0.0;

  uint32_t epoch_ = 0;
  int64_t batch_ = 0;      // next of the epoch
  int64_t next_step_ = 0;  // since training began
  int64_t launched_ = 0;   // by this object
  StepSeconds phase_seconds_{.communication = 0.0, .exposed_communication = 0.0};
  int64_t sampled_ = 0;                    // marked steps in phase_seconds_
  std::deque<MarkedStep> marked_steps_;    // under way
  std::optional<CudaTimeline> timeline_;   // where there is a trace
  std::array<CudaPhases, kTwins> copies_;  // of recorded steps' batches
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
  const bool one_pass = is_logistic(model) && model.inputs <= kLogisticColumns;
  const size_t floats = copies * layout.size();
  return floats * sizeof(float) + (one_pass ? 0 : cuda_network_bytes(model, options));
}

}  // namespace lockstep
