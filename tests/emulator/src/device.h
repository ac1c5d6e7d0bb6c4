// Devices, and what the host has made: streams, events, graphs by their handles.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "driver_types.h"
#include "error.h"
#include "settings.h"
#include "stream.h"

namespace lockstep::emulator {

struct Event;
struct Graph;
class GraphExec;

// REQUIRE Quiet; members without a word on it may be called from any thread.
class Device {
 public:
  explicit Device(int ordinal);

  int ordinal() const { return ordinal_; }
  cudaError_t sticky_error() const { return sticky_error_; }
  // The device is lost: nothing runs on it any more, and every call says so.
  void fail(cudaError_t error, const std::string& what);
  void revive() { sticky_error_ = cudaSuccess; }

  bool take_memory(std::size_t bytes);  // false where there is not so much left
  void return_memory(std::size_t bytes);
  std::size_t memory_used() const { return memory_used_; }
  std::atomic<std::size_t> memory_limit;

  // Set by tests before there is work.
  int major;
  int minor;
  int multiprocessors = default_multiprocessors();

  // REQUIRE the runtime's lock.
  const std::shared_ptr<Stream>& default_stream();
  std::vector<std::shared_ptr<Stream>> blocking_streams();
  std::vector<std::shared_ptr<Stream>> streams();

 private:
  const int ordinal_;
  std::atomic<cudaError_t> sticky_error_ = cudaSuccess;
  std::atomic<std::size_t> memory_used_ = 0;
  std::shared_ptr<Stream> default_stream_;
};

// The values that an opaque handle of the API stands for.
template <class Handle, class Value>
class Handles {
 public:
  Handle add(std::shared_ptr<Value> value) {
    const auto handle = reinterpret_cast<Handle>(value.get());
    values_[handle] = std::move(value);
    return handle;
  }
  const std::shared_ptr<Value>& get(Handle handle) const {
    const auto it = values_.find(handle);
    if (it == values_.end()) throw Failure{cudaErrorInvalidResourceHandle};
    return it->second;
  }
  std::shared_ptr<Value> remove(Handle handle) {
    std::shared_ptr<Value> value = get(handle);
    values_.erase(handle);
    return value;
  }
  const std::map<Handle, std::shared_ptr<Value>>& all() const { return values_; }

 private:
  std::map<Handle, std::shared_ptr<Value>> values_;
};

// One a program, never destroyed. All REQUIRE Quiet, and the lock where nothing else is
// said.
class Runtime {
 public:
  std::mutex mutex;
  std::vector<std::unique_ptr<Device>> devices;
  Handles<cudaStream_t, Stream> streams;
  Handles<cudaEvent_t, Event> events;
  Handles<cudaGraph_t, Graph> graphs;
  Handles<cudaGraphExec_t, GraphExec> graph_execs;
  std::uint64_t streams_made = 0;

  explicit Runtime(int count) { make_devices(count); }
  void make_devices(int count);

  // Why no device can be used; without the lock.
  cudaError_t start_error() const;
  // The calling host thread's device; without the lock.
  Device& current();
  Device& device(int ordinal);
  // By handle; null and cudaStreamLegacy are the current device's default stream.
  std::shared_ptr<Stream> stream(cudaStream_t handle);
  std::shared_ptr<Stream> make_stream(Device& device, bool blocking, int priority);

  // What a kernel that failed did. Without the lock.
  void note_failure(const std::string& what);
  std::string last_failure();

 private:
  std::mutex failure_mutex_;
  std::string last_failure_;
};

// Of the calling host thread.
int& current_device_ordinal();

Runtime& runtime();

}  // namespace lockstep::emulator
