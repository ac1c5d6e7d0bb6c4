#include "train/worker.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <exception>

#include "lockstep/error.h"
#include "train/denormals.h"
#include "train/divergence.h"
#include "train/gemm_choice.h"
#include "train/processors.h"
#include "train/step_options.h"

namespace lockstep {

namespace {

StepOptions workers_options(const Run& run, int rank) {
  StepOptions options = step_options(run.resolved);
  options.spins = run.group.policy().spins;
  options.thread_start = [&run, rank](int thread) {
    if (!run.processors.empty()) {
      pin_to(run.processors[(rank - run.first_worker) * run.config.threads + thread]);
    }
    flush_denormals();
  };
  const double bucket_mb = run.config.bucket_mb.value_or(0.0);
  if (std::isfinite(bucket_mb)) options.slab_bytes = static_cast<size_t>(bucket_mb * 1e6);
  if (run.trace) options.trace = run.trace->recorder(rank);
  return options;
}

void tell_of_products(const Run& run) {
  const TrainObserver& observer = run.observer;
  if (run.products.empty() && run.resolved.gemm != Gemm::own && observer.on_warning) {
    observer.on_warning(
        fmt::format("--gemm {} changes nothing: logistic regression is computed in one pass over "
                    "the data, without a matrix product",
                    to_string(run.resolved.gemm)));
  }
  const std::string measured = describe_measured(run.products);
  if (!measured.empty() && observer.on_note) observer.on_note(measured);
}

}  // namespace

Worker::Worker(Run& run, int rank, Weights weights, State state)
    : run_(run), rank_(rank), trace_(run.trace ? run.trace->recorder(rank) : nullptr) {
  const size_t size = run.layout.size();
  memory_.values = run.values.span();
  memory_.state = run.state.span();
  if (weights == Weights::own) {
    own_values_ = run.memory.allocate(size);
    std::copy(run.values.begin(), run.values.end(), own_values_.begin());
    memory_.values = own_values_.span();
  }
  if (state == State::own) {
    own_state_ = run.memory.allocate(run.state.size());
    std::copy(run.state.begin(), run.state.end(), own_state_.begin());
    memory_.state = own_state_.span();
  } else if (state == State::none) {
    memory_.state = {};
  }
  if (keeps_gradients(run.resolved, run.model)) {
    own_gradients_ = run.memory.allocate(size + kPadFloats);
    memory_.gradients = own_gradients_.span().first(size);
  }
  backend_ = make_backend(run.resolved.device, rank - run.first_worker);
  step_ = backend_->compile(run.model, run.layout, run.normalization(), memory_,
                            workers_options(run, rank));
  if (leads()) {
    run.products = step_->products();
    tell_of_products(run);
  }
  samples_.resize(run.resolved.per_worker_batch);
  epoch_ = run.start.epoch;
  step_in_epoch_ = run.start.step;
  // The unfinished epoch's sums so far, once.
  if (rank == 0) {
    epoch_metrics_ = {run.start.epoch_loss, run.start.epoch_correct, run.start.epoch_count};
  }
}

Worker::~Worker() {
  if (std::uncaught_exceptions() > 0) run_.group.abort();
  run_.group.leave(run_.place(rank_));
}

UpdateScalars Worker::scalars(const GlobalBatch& batch, int64_t samples) const {
  return update_scalars(run_.config.optimizer, batch.learning_rate, batch.global_step, samples);
}

std::vector<UpdateScalars> Worker::epoch_scalars() const {
  std::vector<UpdateScalars> scalars;
  for (int64_t k = 0; k < run_.steps_per_epoch; ++k) {
    const int64_t step = epoch_ * run_.steps_per_epoch + k;
    scalars.push_back(update_scalars(run_.config.optimizer, run_.schedule.at(step), step,
                                     run_.sampler.batch(k, run_.resolved.global_batch).size()));
  }
  return scalars;
}

EpochJob Worker::epoch_job() const {
  EpochJob job;
  job.data = &run_.dataset.train;
  job.sampler = &run_.sampler;
  job.global_batch = run_.resolved.global_batch;
  if (run_.augmentation) job.augmentation = &*run_.augmentation;
  return job;
}

EpochPlan Worker::epoch_plan(std::span<const UpdateScalars> scalars) const {
  return {.epoch = static_cast<uint32_t>(epoch_),
          .first_batch = step_in_epoch_,
          .first_step = epoch_ * run_.steps_per_epoch + step_in_epoch_,
          .scalars = scalars};
}

void Worker::barrier() {
  ScopedSeconds waiting(synchronization_, trace_, {.phase = TracePhase::synchronization});
  run_.meet(rank_);
}

bool Worker::begin_epoch() {
  if (!first_epoch_) {
    ++epoch_;
    step_in_epoch_ = 0;
    epoch_metrics_ = {};
  }
  first_epoch_ = false;
  if (interrupted_ || finished_ || epoch_ >= run_.config.epochs) return false;
  run_.meet(rank_);  // not timed: the epoch starts when all are here
  epoch_start_ = step_start_ = progress_at_ = Clock::now();
  if (leads() && run_.startup_seconds == 0.0) {
    run_.startup_seconds = seconds_between(run_.created, epoch_start_);
  }
  return true;
}

bool Worker::may_start(int64_t global_step) {
  if (!run_.by_messages()) {
    return run_.gate.may_start(run_.place(rank_), global_step, run_.group.policy());
  }
  EpochStep* behind = step_->epoch_step();
  if (SharedEpochStep* shared = behind ? behind->shared_step() : nullptr) {
    return may_start_by_vote(*shared, global_step);
  }
  return !run_.stop_agreed.load(std::memory_order_relaxed);
}

// Workers of one process run behind each other: each goes by its own sums.
bool Worker::may_start_by_vote(SharedEpochStep& step, int64_t global_step) {
  if (run_.stop_by_vote()) step.vote_to_stop();
  if (!step.stops_before(global_step)) return true;
  run_.stop_agreed.store(true, std::memory_order_relaxed);
  return false;
}

const GlobalBatch* Worker::next_batch() {
  if (batch_open_) {
    batch_open_ = false;
    if (trace_) trace_->end_step();
    ++step_in_epoch_;
    if (leads()) record_step_time();
    if (batch_.checkpoint_due && !batch_.last_in_epoch) save_within_epoch();
  }
  if (step_in_epoch_ >= run_.steps_per_epoch) return nullptr;
  const int64_t global_step = epoch_ * run_.steps_per_epoch + step_in_epoch_;
  run_.group.begin_step(run_.place(rank_), global_step);
  if (run_.by_messages()) run_.processes.begin_step(global_step);
  if (!may_start(global_step)) {
    interrupted_ = true;
    return nullptr;
  }
  if (trace_) trace_->begin_step(global_step);
  const IndexRange positions = run_.sampler.batch(step_in_epoch_, run_.resolved.global_batch);
  batch_.count = positions.size();
  batch_.global_step = global_step;
  batch_.learning_rate = run_.schedule.at(global_step);
  batch_.last_in_epoch = step_in_epoch_ + 1 == run_.steps_per_epoch;
  batch_.checkpoint_due = checkpoint_is_due(global_step + 1);
  fill_batch(share_of(positions, rank_, size()));
  batch_open_ = true;
  return &batch_;
}

void Worker::fill_batch(IndexRange positions) {
  Batch& share = batch_.share;
  share.data = &run_.train_part();
  share.epoch = static_cast<uint32_t>(epoch_);
  if (run_.augmentation) share.augmentation = &*run_.augmentation;
  share.contiguous = !run_.sampler.shuffled();
  share.contiguous_range = positions;
  if (share.contiguous || step_->epoch_step()) return;
  ScopedSeconds sampling(sampling_, trace_, {.phase = TracePhase::data});
  const std::span<int64_t> samples(samples_.data(), static_cast<size_t>(positions.size()));
  run_.sampler.fill(static_cast<uint32_t>(epoch_), positions.begin, samples);
  share.samples = samples;
}

void Worker::count(const BatchMetrics& metrics) {
  epoch_metrics_ += metrics;
  if (std::isfinite(metrics.loss)) return;
  EpochStep* behind = step_->epoch_step();
  const int64_t step = behind ? behind->first_bad_step() : batch_.global_step;
  const BadStep bad{.step = step,
                    .steps_per_epoch = run_.steps_per_epoch,
                    .loss = metrics.loss,
                    .learning_rate = run_.schedule.at(step)};
  std::string weights;
  try {
    // Other steps have gone on to update them.
    if (behind) weights = weights_in_words(run_.layout, behind->summarize_weights());
  } catch (const Error&) {
    // That the run has diverged is what is to be told.
  }
  throw diverged(bad, weights);
}

void Worker::record_step_time() {
  const Clock::time_point now = Clock::now();
  // How long the host took to queue a step tells nothing: end_epoch() has the device's mean.
  if (!step_->epoch_step()) {
    run_.step_seconds.push_back(static_cast<float>(seconds_between(step_start_, now)));
  }
  step_start_ = now;
  if (run_.observer.on_progress && seconds_between(progress_at_, now) > 0.1) {
    progress_at_ = now;
    report_progress();
  }
}

void Worker::report_progress() {
  Progress progress;
  progress.epoch = epoch_ + 1;
  progress.epochs = run_.config.epochs;
  progress.step = step_in_epoch_;
  progress.steps_per_epoch = run_.steps_per_epoch;
  progress.samples = std::min(step_in_epoch_ * run_.resolved.global_batch, run_.sampler.size());
  progress.loss = epoch_metrics_.count ? epoch_metrics_.loss / epoch_metrics_.count : 0.0;
  const double elapsed = seconds_between(epoch_start_, progress_at_);
  const int64_t done_before = epoch_ == run_.start.epoch ? run_.start.step : 0;
  progress.samples_per_second =
      static_cast<double>((step_in_epoch_ - done_before) * run_.resolved.global_batch) / elapsed;
  run_.observer.on_progress(progress);
}

bool Worker::checkpoint_is_due(int64_t finished_steps) const {
  const CheckpointEvery& every = run_.config.checkpoint_every;
  if (every.count == 0 || run_.config.out.empty()) return false;
  if (every.in_steps) return finished_steps % every.count == 0;
  return finished_steps % (every.count * run_.steps_per_epoch) == 0;
}

void Worker::add_communication(const CommunicationCounters& counters) {
  communication_ += counters.communication;
  hidden_ += counters.hidden;
  synchronization_ += counters.synchronization;
  totals_.calls += counters.calls;
  totals_.bytes += counters.bytes;
  totals_.wire_bytes += counters.wire_bytes;
}

void Worker::publish() {
  const StepSeconds step = step_->seconds();
  Run::Measured& measured = run_.slots[rank_].measured;
  PhaseSeconds& seconds = measured.seconds;
  seconds.sampled = step.sampled;
  const auto known = [](double value) -> std::optional<double> {
    if (std::isnan(value)) return std::nullopt;
    return value;
  };
  seconds.compute = known(step.compute);
  seconds.data = known(step.data + sampling_);
  seconds.update = known(step.update + update_);
  if (run_.resolved.strategy != Strategy::serial) seconds.synchronization = synchronization_;
  // Factors are read from the peers' memory by the products themselves.
  const bool fused = run_.resolved.strategy == Strategy::sync && run_.update == UpdateKind::factors;
  if (run_.resolved.strategy != Strategy::serial && !fused) {
    seconds.communication = communication_;
    // Where workers share memory they move bytes themselves: nothing of it is hidden behind their
    // own compute.
    seconds.exposed_communication = communication_ - hidden_;
  }
  measured.communication = totals_;
  if (const EpochStep* behind = step_->epoch_step()) measured.set_up = behind->set_up();
}

}  // namespace lockstep
