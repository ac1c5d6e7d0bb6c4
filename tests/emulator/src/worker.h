// A thread with a queue, which runs what is put into it in order, under Quiet.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

namespace lockstep::emulator {

// All REQUIRE Quiet.
class Worker {
 public:
  Worker();
  ~Worker();  // after everything in the queue

  void push(std::function<void()> task);

 private:
  void loop();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> tasks_;
  bool ending_ = false;
  std::thread thread_;
};

}  // namespace lockstep::emulator
