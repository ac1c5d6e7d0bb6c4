// SIGINT and SIGTERM. While a training polls stop_signal(), the first one asks it to stop within a
// step; anywhere else, and the second time, the process leaves at once with 128 + the signal.
#pragma once

#include <atomic>
#include <string>

namespace lockstep::cli {

// A write beyond the limit on file sizes then fails like one to a full disk, instead of ending the
// process. Call first of all.
void ignore_file_size_signal();

// Installs the handlers. `document`, where not empty, is printed on stdout by a process that leaves
// at once: --json promises one document whatever happens.
void watch_signals(const std::string& document);

// Call before the real document is printed, so that a signal does not print a second one.
void disarm_document();

// For a process that is about to end by itself.
void ignore_stop_signals();

// Non-zero: the signal that asked to stop.
const std::atomic<int>& stop_signal();

// While it lives, the first signal only sets stop_signal().
class PollsStopSignal {
 public:
  PollsStopSignal();
  ~PollsStopSignal();
  PollsStopSignal(const PollsStopSignal&) = delete;
  PollsStopSignal& operator=(const PollsStopSignal&) = delete;
};

}  // namespace lockstep::cli
