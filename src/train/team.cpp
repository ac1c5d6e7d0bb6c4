#include "train/team.h"

#include <fmt/format.h>

#include <exception>
#include <mutex>
#include <system_error>
#include <thread>

#include "lockstep/error.h"
#include "train/denormals.h"
#include "train/processors.h"

namespace lockstep {

namespace {

// The error that stopped the team: the first one wins, a peer's abort is none.
class FirstError {
 public:
  void keep(std::exception_ptr error) {
    const std::lock_guard lock(mutex_);
    if (!error_) error_ = std::move(error);
  }
  void rethrow() const {
    if (error_) std::rethrow_exception(error_);
  }

 private:
  std::mutex mutex_;
  std::exception_ptr error_;
};

}  // namespace

void run_team(ThreadGroup& group, const std::vector<int>& processors,
              const std::function<void(int rank)>& worker) {
  run_team(group, {0, group.size()}, processors, worker);
}

void run_team(ThreadGroup& group, TeamPart part, const std::vector<int>& processors,
              const std::function<void(int rank)>& worker) {
  FirstError first_error;
  const auto body = [&](int rank) {
    try {
      if (!processors.empty()) pin_to(processors[rank - part.first]);
      flush_denormals();
      worker(rank);
    } catch (const PeerAborted&) {
    } catch (...) {
      group.abort();
      // A worker of another process may have been first: its error is the one to tell of.
      if (group.aborted_here()) first_error.keep(std::current_exception());
    }
    group.mark_left(rank);  // also where it failed before it had any memory to share
  };
  std::vector<std::thread> threads;
  try {
    for (int i = 0; i < part.count; ++i) threads.emplace_back(body, part.first + i);
  } catch (const std::system_error& error) {
    first_error.keep(std::make_exception_ptr(
        Error(ErrorKind::runtime,
              fmt::format("cannot start worker thread {} of {}: {}", threads.size(), part.count,
                          error.what()),
              "use fewer --workers, or raise the limit on threads (ulimit -u)")));
    group.abort();
    for (int i = static_cast<int>(threads.size()); i < part.count; ++i) {
      group.mark_left(part.first + i);  // never started
    }
  }
  for (std::thread& thread : threads) thread.join();
  first_error.rethrow();
  if (group.aborted()) throw PeerAborted();
}

}  // namespace lockstep
