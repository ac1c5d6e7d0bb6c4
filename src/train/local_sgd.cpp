#include <algorithm>
#include <array>

#include "backend/vector_ops.h"
#include "train/averaging.h"
#include "train/strategies.h"

namespace lockstep {

namespace {

// The replicas of a team: how many samples each has trained on since they were last equal.
class Averager {
 public:
  Averager(Worker& worker, Communicator& communicator)
      : worker_(worker), communicator_(communicator) {}

  void add(int64_t own, int64_t all) {
    own_samples_ += own;
    all_samples_ += all;
    ++batches_;
  }
  int64_t batches() const { return batches_; }

  // Every replica becomes the mean of all, weighted by samples; optimizer state likewise.
  void average(SyncState sync_state) {
    if (all_samples_ == 0) return;
    const float weight = static_cast<float>(own_samples_) / static_cast<float>(all_samples_);
    average_one(worker_.values(), weight);
    if (sync_state == SyncState::average && !worker_.state().empty()) {
      average_one(worker_.state(), weight);
    }
    own_samples_ = all_samples_ = batches_ = 0;
    if (worker_.run().by_messages()) vote_on_stopping();
  }

 private:
  // Ranks that share no memory can only stop together where they meet anyway.
  void vote_on_stopping() {
    votes_[0] = worker_.run().stop_by_vote() ? 1.0f : 0.0f;
    communicator_.all_reduce(votes_);
    communicator_.wait();
    if (votes_[0] > 0.0f) worker_.run().stop_agreed.store(true, std::memory_order_relaxed);
  }

  void average_one(std::span<float> values, float weight) {
    scale(values, weight);
    communicator_.all_reduce(values);
    communicator_.wait();
  }

  Worker& worker_;
  Communicator& communicator_;
  alignas(kAlignment) std::array<float, kPadFloats> votes_{};
  int64_t own_samples_ = 0, all_samples_ = 0, batches_ = 0;
};

// One-shot averaging (`--sync-every end`) evaluates the mean of the replicas at an epoch's end and
// goes on from each worker's own.
void end_epoch_on_average(Worker& worker, Averager averager, SyncState sync_state, bool last) {
  std::vector<float> values(worker.values().begin(), worker.values().end());
  std::vector<float> state(worker.state().begin(), worker.state().end());
  averager.average(sync_state);
  worker.end_epoch();
  if (last || worker.interrupted()) return;
  std::copy(values.begin(), values.end(), worker.values().begin());
  std::copy(state.begin(), state.end(), worker.state().begin());
}

}  // namespace

void train_local_sgd(Run& run, int rank) {
  if (run.devices) return train_local_sgd_on_gpus(run, rank);
  if (run.resolved.device.on_gpu()) return train_serial(run, rank);  // one: nothing to average
  Worker worker(run, rank, Weights::own, State::own);
  const std::unique_ptr<Communicator> communicator = run.communicator(rank);
  communicator->record(worker.trace());
  Averager averager(worker, *communicator);
  const Config& config = run.config;
  while (worker.begin_epoch()) {
    while (const GlobalBatch* batch = worker.next_batch()) {
      const int64_t own = batch->share.size();
      // A local step divides by its own share's count; an empty share is no step.
      if (own > 0) worker.count(worker.step().train(batch->share, worker.scalars(*batch, own)));
      averager.add(own, batch->count);
      if (average_is_due(config.sync_every, *batch, averager.batches())) {
        averager.average(config.sync_state);
      }
    }
    if (config.sync_every.kind == SyncEvery::Kind::end) {
      end_epoch_on_average(worker, averager, config.sync_state, worker.in_last_epoch());
    } else {
      if (worker.interrupted()) averager.average(config.sync_state);
      worker.end_epoch();
    }
  }
  worker.add_communication(communicator->counters());
  worker.publish();
}

}  // namespace lockstep
