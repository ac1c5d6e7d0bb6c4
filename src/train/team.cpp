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
  FirstError first_error;
  const auto body = [&](int rank) {
    try {
      if (!processors.empty()) pin_to(processors[rank]);
      flush_denormals();
      worker(rank);
    } catch (const PeerAborted&) {
    } catch (...) {
      first_error.keep(std::current_exception());
      group.abort();
    }
    group.mark_left(rank);  // also where it failed before it had any memory to share
  };
  std::vector<std::thread> threads;
  try {
    for (int rank = 0; rank < group.size(); ++rank) threads.emplace_back(body, rank);
  } catch (const std::system_error& error) {
    first_error.keep(std::make_exception_ptr(
        Error(ErrorKind::runtime,
              fmt::format("cannot start worker thread {} of {}: {}", threads.size(), group.size(),
                          error.what()),
              "use fewer --workers, or raise the limit on threads (ulimit -u)")));
    group.abort();
    for (int rank = static_cast<int>(threads.size()); rank < group.size(); ++rank) {
      group.mark_left(rank);  // never started
    }
  }
  for (std::thread& thread : threads) thread.join();
  first_error.rethrow();
}

}  // namespace lockstep
