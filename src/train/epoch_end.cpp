// What a worker does between epochs: evaluation, the record, checkpoints, the end of training.
#include <algorithm>

#include "train/training_state.h"
#include "train/worker.h"

namespace lockstep {

void Worker::offer_slot() {
  if (EpochStep* behind = step_->epoch_step()) count(behind->settle());
  Run::Slot& slot = run_.slots[rank_];
  slot.measured.epoch_metrics = epoch_metrics_;
  slot.epoch_start = epoch_start_;
  slot.values = memory_.values;
  slot.state = memory_.state;
}

void Worker::write_back() {
  if (EpochStep* behind = step_->epoch_step()) behind->write_back();
}

// Of a step that runs behind the host.
void Worker::record_mean_step_time(double epoch_seconds) {
  const int64_t before = epoch_ == run_.start.epoch ? run_.start.step : 0;
  const int64_t steps = step_in_epoch_ - before;
  if (!step_->epoch_step() || steps == 0) return;
  run_.step_seconds.push_back(static_cast<float>(epoch_seconds / static_cast<double>(steps)));
}

void Worker::end_epoch() {
  offer_slot();
  barrier();
  // From when the first of them began: on a busy machine this one may have begun later.
  if (leads()) {
    const auto own = std::span(run_.slots).subspan(run_.first_worker, run_.local_workers);
    epoch_start_ = std::ranges::min(own, {}, &Run::Slot::epoch_start).epoch_start;
  }
  double epoch_seconds = seconds_between(epoch_start_, Clock::now());
  write_back();
  if (!interrupted_) {
    if (evaluation_is_due()) evaluate_blocks();
    run_.meet(rank_);
  }
  if (leads()) {
    run_.exchange(epoch_seconds);
    collect_values(run_);
    run_.trained_seconds += epoch_seconds;
    record_mean_step_time(epoch_seconds);
    if (interrupted_) {
      run_.interrupted_seconds = epoch_seconds;
    } else {
      close_epoch(epoch_seconds);
    }
    run_.reached = position();
  }
  run_.meet(rank_);
  finished_ = !run_.book.stop_reason().empty();
}

// Collective, between two batches. Its time is not training's.
void Worker::save_within_epoch() {
  const Clock::time_point start = Clock::now();
  offer_slot();
  write_back();
  run_.meet(rank_);
  if (leads()) {
    double seconds = 0.0;
    run_.exchange(seconds);
    collect_values(run_);
    save_training_state(run_, position());
  }
  run_.meet(rank_);
  const Clock::duration pause = Clock::now() - start;
  epoch_start_ += pause;
  step_start_ += pause;
}

bool Worker::evaluation_is_due() const {
  return run_.dataset.test && (in_last_epoch() || (epoch_ + 1) % run_.config.eval_every == 0);
}

// Blocks of a fixed size, dealt to the workers in turn: sums do not depend on how many there are.
void Worker::evaluate_blocks() {
  const Split& test = run_.test_part();
  const auto blocks = static_cast<int64_t>(run_.eval_blocks.size());
  for (int64_t block = rank_; block < blocks; block += size()) {
    Batch batch;
    batch.data = &test;
    batch.contiguous = true;
    batch.contiguous_range = {block * Run::kEvalBlock,
                              std::min((block + 1) * Run::kEvalBlock, test.size())};
    run_.eval_blocks[block] = step_->evaluate(batch, {});
  }
}

void Worker::close_epoch(double epoch_seconds) {
  BatchMetrics train;
  for (const Run::Slot& slot : run_.slots) train += slot.measured.epoch_metrics;
  EpochRecord record;
  record.epoch = epoch_ + 1;
  record.learning_rate = batch_.learning_rate;
  record.train_loss = train.loss / static_cast<double>(train.count);
  record.train_accuracy = static_cast<double>(train.correct) / static_cast<double>(train.count);
  record.seconds = epoch_seconds;
  if (evaluation_is_due()) {
    BatchMetrics test;
    for (const BatchMetrics& block : run_.eval_blocks) test += block;
    const auto count = static_cast<double>(test.count);
    record.test = Evaluation{test.loss / count, static_cast<double>(test.correct) / count};
  }
  run_.book.add(record, run_.values.span());
  run_.eval_seconds += seconds_between(epoch_start_, Clock::now()) - epoch_seconds;
  if (batch_.checkpoint_due) save_training_state(run_, position());
  if (run_.observer.on_epoch) run_.observer.on_epoch(record);
}

TrainingPosition Worker::position() const {
  TrainingPosition at;
  at.global_batch = run_.resolved.global_batch;
  at.train_samples = run_.sampler.size();
  at.epoch = epoch_;
  at.step = step_in_epoch_;
  at.global_step = epoch_ * run_.steps_per_epoch + step_in_epoch_;
  if (at.step == run_.steps_per_epoch) {
    ++at.epoch;
    at.step = 0;
    return at;
  }
  BatchMetrics sums;
  for (const Run::Slot& slot : run_.slots) sums += slot.measured.epoch_metrics;
  at.epoch_loss = sums.loss;
  at.epoch_correct = sums.correct;
  at.epoch_count = sums.count;
  return at;
}

}  // namespace lockstep
