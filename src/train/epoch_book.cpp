#include "train/epoch_book.h"

#include <fmt/format.h>

#include <algorithm>

namespace lockstep {

bool EpochBook::is_judged(const EpochRecord& record) const {
  return test_ == TestPart::no || record.test.has_value();
}

// A better epoch: higher test accuracy, then lower test loss; without a test part training's loss.
bool EpochBook::is_better(const EpochRecord& record) const {
  if (!is_judged(record)) return false;
  if (!best_) return true;
  const EpochRecord& best = epochs_[*best_];
  if (test_ == TestPart::no) return record.train_loss < best.train_loss;
  if (record.test->accuracy != best.test->accuracy) {
    return record.test->accuracy > best.test->accuracy;
  }
  return record.test->loss < best.test->loss;
}

void EpochBook::note_target(const EpochRecord& record) {
  const double accuracy = record.test ? record.test->accuracy : record.train_accuracy;
  const double loss = record.test ? record.test->loss : record.train_loss;
  const bool by_accuracy = config_.target_accuracy > 0.0 && accuracy >= config_.target_accuracy;
  const bool by_loss = config_.target_loss > 0.0 && loss <= config_.target_loss;
  if (time_to_target_ || !(by_accuracy || by_loss)) return;
  time_to_target_ = train_seconds_;
  if (config_.stop_at_target) {
    stop_reason_ = fmt::format("target reached in epoch {}", record.epoch);
  }
}

void EpochBook::note_patience() {
  if (config_.patience == 0 || !best_ || !stop_reason_.empty()) return;
  const auto later = std::span(epochs_).subspan(*best_ + 1);
  const auto since_best =
      std::ranges::count_if(later, [this](const EpochRecord& r) { return is_judged(r); });
  if (since_best < config_.patience) return;
  stop_reason_ = fmt::format("no better epoch since epoch {} (patience {})", epochs_[*best_].epoch,
                             config_.patience);
}

void EpochBook::add(const EpochRecord& record, std::span<const float> values) {
  const bool better = is_better(record);
  epochs_.push_back(record);
  train_seconds_ += record.seconds;
  if (better) {
    best_ = epochs_.size() - 1;
    if (config_.keep_best) {
      if (best_values_.empty()) best_values_ = Buffer<float>(values.size());
      std::copy(values.begin(), values.end(), best_values_.begin());
    }
  }
  note_target(record);
  note_patience();
}

void EpochBook::restore(std::span<const EpochRecord> records, std::span<const float> best_values) {
  for (const EpochRecord& record : records) add(record, {});
  best_values_ = {};
  if (best_values.empty()) return;
  best_values_ = Buffer<float>(best_values.size());
  std::copy(best_values.begin(), best_values.end(), best_values_.begin());
}

}  // namespace lockstep
