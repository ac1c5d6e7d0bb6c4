#include "train/strategies.h"

namespace lockstep {

namespace {

using Progress = ThreadGroup::Progress;

// A worker's side of the exchange. Factors stay where they are: peers read them in place.
class FactorExchange {
 public:
  explicit FactorExchange(Worker& worker)
      : worker_(worker), group_(worker.run().group), step_(worker.step().factor_step()) {
    worker.run().slots[worker.rank()].factors = step_;
  }

  BatchMetrics train(const GlobalBatch& batch) {
    if (steps_.empty()) {
      for (const Run::Slot& slot : worker_.run().slots) steps_.push_back(slot.factors);
    }
    const BatchMetrics metrics = step_->compute_factors(batch.share);
    count_bytes();
    meet(&Progress::posted, "for the end of the backward pass");
    const ShareSum sum = worker_.run().config.deterministic ? ShareSum::fold : ShareSum::chain;
    step_->update_from_factors(steps_, worker_.rank(), sum, worker_.scalars(batch, batch.count));
    meet(&Progress::done, "for the update of the shared weights");
    return metrics;
  }

  const CommunicationCounters& counters() const { return counters_; }

 private:
  void meet(std::atomic<uint64_t> Progress::*counter, const char* place) {
    ScopedSeconds waiting(counters_.synchronization, worker_.trace(),
                          {.phase = TracePhase::synchronization});
    std::atomic<uint64_t>& own = group_.progress(worker_.rank()).*counter;
    const uint64_t step = own.load(std::memory_order_relaxed) + 1;
    own.store(step, std::memory_order_release);
    group_.wait_all(worker_.rank(), counter, step, place);
  }

  void count_bytes() {
    const FactorStep::FactorBytes bytes = step_->factor_bytes();
    const int64_t workers = group_.size();
    ++counters_.calls;
    counters_.bytes += bytes.inputs + bytes.gradients;
    counters_.wire_bytes += (workers - 1) * (bytes.inputs + bytes.gradients / workers);
  }

  Worker& worker_;
  ThreadGroup& group_;
  FactorStep* step_;
  std::vector<FactorStep*> steps_;  // everybody's, in rank order
  CommunicationCounters counters_;
};

}  // namespace

void train_on_factors(Run& run, int rank) {
  Worker worker(run, rank, Weights::shared, State::shared);
  FactorExchange exchange(worker);
  while (worker.begin_epoch()) {
    while (const GlobalBatch* batch = worker.next_batch()) worker.count(exchange.train(*batch));
    worker.end_epoch();
  }
  worker.add_communication(exchange.counters());
  worker.publish();
}

}  // namespace lockstep
