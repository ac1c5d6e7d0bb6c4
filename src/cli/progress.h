// The progress bar and the line of a finished epoch.
#pragma once

#include <string>

#include "lockstep/result.h"
#include "lockstep/trainer.h"

namespace lockstep::cli {

// "label  epoch 3/10 [=====>    ]  57 %  loss 0.1234  117 k samples/s  ETA 12 s", at most `width`
// columns. `eta_seconds` below 0: not known yet.
std::string progress_line(const std::string& label, const Progress& progress, double eta_seconds,
                          int width);

// Seconds left, judged by how far a run came since it was first seen.
class EtaClock {
 public:
  // Below 0 until there is something to judge by. `now` is any steady time in seconds.
  double eta(const Progress& progress, double now);

 private:
  double first_time_ = -1.0;
  double first_fraction_ = 0.0;
};

// "epoch  3/10  loss 0.1234, accuracy 0.9621  test 0.0912, 0.9712  0.45 s"
std::string epoch_line(const EpochRecord& epoch, int64_t epochs);

}  // namespace lockstep::cli
