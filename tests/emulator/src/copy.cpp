// Copies and fills. Pageable host memory is read before the call returns, and written before it
// returns; pinned memory is touched by the stream, whenever that comes to it.
#include <cstdlib>
#include <cstring>

#include "capture.h"
#include "cuda_runtime_api.h"
#include "device.h"
#include "memory.h"

using namespace lockstep::emulator;

namespace {

enum class Place { pageable, pinned, device };

// Where the bytes are. Throws where they go beyond the end of an allocation.
Place place_of(const void* pointer, std::size_t bytes) {
  require(pointer != nullptr);
  const auto allocation = memory().find(pointer);
  if (!allocation) return Place::pageable;
  const auto* end = static_cast<const char*>(pointer) + bytes;
  require(end <= allocation->begin + allocation->bytes);
  return allocation->on_device ? Place::device : Place::pinned;
}

bool fits(cudaMemcpyKind kind, Place to, Place from) {
  const bool to_device = to == Place::device;
  const bool from_device = from == Place::device;
  switch (kind) {
    case cudaMemcpyHostToHost: return !to_device && !from_device;
    case cudaMemcpyHostToDevice: return to_device && !from_device;
    case cudaMemcpyDeviceToHost: return !to_device && from_device;
    case cudaMemcpyDeviceToDevice: return to_device && from_device;
    case cudaMemcpyDefault: return true;
  }
  return false;
}

std::shared_ptr<void> snapshot(const void* from, std::size_t bytes) {
  std::shared_ptr<void> staging(std::malloc(bytes), std::free);
  const Audible audible;
  std::memcpy(staging.get(), from, bytes);
  return staging;
}

struct Copy {
  void* to;
  const void* from;
  std::size_t bytes;
  cudaMemcpyKind kind;
};

// `blocking`: the call waits for what involves host memory, as cudaMemcpy does.
void copy(const Copy& c, cudaStream_t handle, bool blocking) {
  if (c.bytes == 0) return;
  const Place to = place_of(c.to, c.bytes);
  const Place from = place_of(c.from, c.bytes);
  require(fits(c.kind, to, from));
  std::shared_ptr<Signal> end;
  {
    const std::lock_guard lock(runtime().mutex);
    if (blocking) check_no_capture_forbids();
    const auto stream = runtime().stream(handle);
    const bool staged = from == Place::pageable && to == Place::device && !stream->capture;
    auto staging = staged ? snapshot(c.from, c.bytes) : nullptr;
    const void* source = staged ? staging.get() : c.from;
    submit(stream, copy_operation(c.to, source, c.bytes, std::move(staging)));
    const bool pinned = to == Place::pinned || from == Place::pinned;
    const bool waits = (to == Place::pageable && !stream->capture) || (blocking && pinned);
    if (waits) end = stream->mark();
  }
  if (end) end->wait();
}

cudaError_t fill(void* to, int value, std::size_t bytes, cudaStream_t stream, bool blocking) {
  return api([&] {
    if (bytes == 0) return;
    require(place_of(to, bytes) != Place::pageable);
    const std::lock_guard lock(runtime().mutex);
    if (blocking) check_no_capture_forbids();
    submit(runtime().stream(stream), fill_operation(to, value, bytes));
  });
}

}  // namespace

cudaError_t cudaMemcpy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
  return api([&] { copy({to, from, bytes, kind}, nullptr, true); });
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  return api([&] { copy({to, from, bytes, kind}, stream, false); });
}

cudaError_t cudaMemcpyPeerAsync(void* to, int to_device, const void* from, int from_device,
                                std::size_t bytes, cudaStream_t stream) {
  return api([&] {
    const auto target = memory().find(to);
    const auto source = memory().find(from);
    require(target && target->on_device && target->device->ordinal() == to_device);
    require(source && source->on_device && source->device->ordinal() == from_device);
    copy({to, from, bytes, cudaMemcpyDeviceToDevice}, stream, false);
  });
}

cudaError_t cudaMemset(void* to, int value, std::size_t bytes) {
  return fill(to, value, bytes, nullptr, true);
}

cudaError_t cudaMemsetAsync(void* to, int value, std::size_t bytes, cudaStream_t stream) {
  return fill(to, value, bytes, stream, false);
}
