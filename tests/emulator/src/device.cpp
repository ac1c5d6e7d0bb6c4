#include "device.h"

#include <cstdio>

#include "cuda_runtime_api.h"
#include "event.h"
#include "exit_check.h"
#include "graph.h"
#include "settings.h"

namespace lockstep::emulator {

namespace {

thread_local int current_ordinal = 0;

}  // namespace

int& current_device_ordinal() {
  return current_ordinal;
}

Device::Device(int ordinal)
    : memory_limit(default_memory()),
      major(default_capability() / 10),
      minor(default_capability() % 10),
      ordinal_(ordinal) {}

void Device::fail(cudaError_t error, const std::string& what) {
  auto none = cudaSuccess;
  if (!sticky_error_.compare_exchange_strong(none, error)) return;
  std::fprintf(stderr, "emulator: device %d: %s: %s\n", ordinal_, cudaGetErrorName(error),
               what.c_str());
  runtime().note_failure(what);
}

bool Device::take_memory(std::size_t bytes) {
  std::size_t used = memory_used_;
  do {
    if (bytes > memory_limit || used > memory_limit - bytes) return false;
  } while (!memory_used_.compare_exchange_weak(used, used + bytes));
  return true;
}

void Device::return_memory(std::size_t bytes) {
  memory_used_ -= bytes;
}

const std::shared_ptr<Stream>& Device::default_stream() {
  if (!default_stream_) default_stream_ = runtime().make_stream(*this, true, 0);
  return default_stream_;
}

std::vector<std::shared_ptr<Stream>> Device::streams() {
  std::vector<std::shared_ptr<Stream>> mine;
  if (default_stream_) mine.push_back(default_stream_);
  for (const auto& [handle, stream] : runtime().streams.all()) {
    if (&stream->device() == this) mine.push_back(stream);
  }
  return mine;
}

std::vector<std::shared_ptr<Stream>> Device::blocking_streams() {
  std::vector<std::shared_ptr<Stream>> blocking;
  for (auto& stream : streams()) {
    if (stream->blocking() && stream != default_stream_) blocking.push_back(std::move(stream));
  }
  return blocking;
}

Runtime& runtime() {
  static auto* instance = [] {
    check_at_exit();
    return new Runtime(default_device_count());
  }();
  return *instance;
}

void Runtime::make_devices(int count) {
  devices.clear();
  for (int i = 0; i < count; ++i) devices.push_back(std::make_unique<Device>(i));
  current_ordinal = 0;
}

void Runtime::note_failure(const std::string& what) {
  const std::lock_guard lock(failure_mutex_);
  last_failure_ = what;
}

std::string Runtime::last_failure() {
  const std::lock_guard lock(failure_mutex_);
  return last_failure_;
}

// A driver runs programs of its own major version and of older ones. Without any, CUDA gives the
// same error.
cudaError_t Runtime::start_error() const {
  const int driver = settings().driver_version;
  if (driver / 1000 < CUDART_VERSION / 1000) return cudaErrorInsufficientDriver;
  return devices.empty() ? cudaErrorNoDevice : cudaSuccess;
}

Device& Runtime::current() {
  return device(current_ordinal);
}

Device& Runtime::device(int ordinal) {
  if (const cudaError_t error = start_error()) throw Failure{error};
  require(ordinal >= 0 && ordinal < static_cast<int>(devices.size()), cudaErrorInvalidDevice);
  return *devices[static_cast<std::size_t>(ordinal)];
}

std::shared_ptr<Stream> Runtime::stream(cudaStream_t handle) {
  if (handle == nullptr || handle == cudaStreamLegacy) return current().default_stream();
  return streams.get(handle);
}

std::shared_ptr<Stream> Runtime::make_stream(Device& device, bool blocking, int priority) {
  return std::make_shared<Stream>(device, blocking, priority, streams_made++);
}

}  // namespace lockstep::emulator
