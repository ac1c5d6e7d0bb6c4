// The history of a training: epochs, the best of them, whether to go on. Worker 0's.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "lockstep/buffer.h"
#include "lockstep/config.h"
#include "lockstep/result.h"

namespace lockstep {

class EpochBook {
 public:
  enum class TestPart { no, yes };
  // With a test part, epochs are judged by their evaluations: those without one (--eval-every) can
  // neither be the best nor use up patience.
  EpochBook(const Config& config, TestPart test) : config_(config), test_(test) {}

  // Adds a finished epoch; `values` are kept where it is the best so far and --keep-best asks.
  void add(const EpochRecord& record, std::span<const float> values);
  // Takes over the history and the best weights of a resumed run.
  void restore(std::span<const EpochRecord> records, std::span<const float> best_values);

  // Why training should end before its last epoch, empty: go on.
  const std::string& stop_reason() const { return stop_reason_; }

  const std::vector<EpochRecord>& epochs() const { return epochs_; }
  double train_seconds() const { return train_seconds_; }
  std::optional<double> time_to_target() const { return time_to_target_; }
  // Empty unless --keep-best kept one.
  const Buffer<float>& best_values() const { return best_values_; }

 private:
  bool is_judged(const EpochRecord& record) const;
  void note_target(const EpochRecord& record);
  void note_patience();
  bool is_better(const EpochRecord& record) const;

  const Config& config_;
  TestPart test_;
  std::vector<EpochRecord> epochs_;
  std::optional<size_t> best_;  // index into epochs_
  Buffer<float> best_values_;
  double train_seconds_ = 0.0;
  std::optional<double> time_to_target_;
  std::string stop_reason_;
};

}  // namespace lockstep
