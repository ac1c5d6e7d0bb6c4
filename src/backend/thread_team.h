// The threads of one worker: started once, waiting between jobs, joined at the end.
#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <functional>
#include <thread>
#include <type_traits>
#include <vector>

namespace lockstep {

class ThreadTeam {
 public:
  // The calling thread is thread 0; threads 1 ... size - 1 start here and call start(thread), where
  // there is one, before anything else. A thread that waits looks `spins` times before it sleeps.
  // Throws Error{runtime} where the system gives no more threads.
  ThreadTeam(int size, int spins, const std::function<void(int thread)>& start);
  ~ThreadTeam();
  ThreadTeam(const ThreadTeam&) = delete;
  ThreadTeam& operator=(const ThreadTeam&) = delete;

  int size() const { return static_cast<int>(errors_.size()); }

  // Calls job(thread) on every thread of the team at once and returns when all have come back; what
  // each wrote is then seen by all. Where jobs throw, the lowest thread's exception is rethrown.
  // Only thread 0 calls it, and not from inside a job.
  template <class Job>
  void run(Job&& job) {
    using Called = std::remove_reference_t<Job>;
    run_erased({&job, [](const void* object, int thread) {
                  (*static_cast<Called*>(const_cast<void*>(object)))(thread);
                }});
  }

 private:
  struct ErasedJob {
    const void* object = nullptr;
    void (*call)(const void* object, int thread) = nullptr;
  };

  void run_erased(ErasedJob job);
  void call(int thread) noexcept;
  void help(int thread);
  void stop() noexcept;
  // Returns once `counter` is no longer `value`.
  void wait_while(const std::atomic<uint32_t>& counter, uint32_t value) const;

  int spins_;
  ErasedJob job_;                               // of thread 0, read by all until all have come back
  std::vector<std::exception_ptr> errors_;      // one a thread, of the job at hand
  alignas(128) std::atomic<uint32_t> jobs_{0};  // handed out so far
  alignas(128) std::atomic<uint32_t> unfinished_{0};  // threads that are still at it
  std::vector<std::thread> threads_;
};

}  // namespace lockstep
