#include "backend/thread_team.h"

#include <fmt/format.h>
#include <hwy/cache_control.h>

#include <system_error>
#include <utility>

#include "lockstep/error.h"

namespace lockstep {

ThreadTeam::ThreadTeam(int size, int spins, const std::function<void(int thread)>& start)
    : spins_(spins), errors_(size) {
  try {
    for (int thread = 1; thread < size; ++thread) {
      threads_.emplace_back([this, start, thread] {
        if (start) start(thread);
        help(thread);
      });
    }
  } catch (const std::system_error& error) {
    const size_t started = threads_.size() + 1;
    stop();
    throw Error(
        ErrorKind::runtime,
        fmt::format("cannot start thread {} of a worker's {}: {}", started, size, error.what()),
        "use fewer --threads, or raise the limit on threads (ulimit -u)");
  }
}

ThreadTeam::~ThreadTeam() {
  stop();
}

// A job that calls nothing ends the threads.
void ThreadTeam::stop() noexcept {
  job_ = {};
  jobs_.fetch_add(1, std::memory_order_release);
  jobs_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void ThreadTeam::run_erased(ErasedJob job) {
  job_ = job;
  unfinished_.store(static_cast<uint32_t>(threads_.size()), std::memory_order_relaxed);
  jobs_.fetch_add(1, std::memory_order_release);
  jobs_.notify_all();
  call(0);
  for (;;) {
    const uint32_t left = unfinished_.load(std::memory_order_acquire);
    if (left == 0) break;
    wait_while(unfinished_, left);
  }
  std::exception_ptr first;
  for (std::exception_ptr& error : errors_) {
    if (error && !first) first = error;
    error = nullptr;
  }
  if (first) std::rethrow_exception(first);
}

void ThreadTeam::call(int thread) noexcept {
  try {
    job_.call(job_.object, thread);
  } catch (...) {
    errors_[thread] = std::current_exception();
  }
}

void ThreadTeam::help(int thread) {
  for (uint32_t seen = 0;; ++seen) {
    wait_while(jobs_, seen);
    if (!job_.call) return;
    call(thread);
    unfinished_.fetch_sub(1, std::memory_order_release);
    unfinished_.notify_one();
  }
}

void ThreadTeam::wait_while(const std::atomic<uint32_t>& counter, uint32_t value) const {
  for (int i = 0; i < spins_; ++i) {
    if (counter.load(std::memory_order_acquire) != value) return;
    hwy::Pause();
  }
  counter.wait(value, std::memory_order_acquire);
}

}  // namespace lockstep
