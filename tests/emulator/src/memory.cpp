#include "memory.h"

#include <cstdlib>
#include <cstring>

#include "device.h"
#include "error.h"
#include "fault.h"
#include "sanitizer.h"
#include "settings.h"

namespace lockstep::emulator {

namespace {

constexpr std::size_t kAlignment = 256;
constexpr int kUninitializedByte = 0xff;  // NaN to a float

}  // namespace

Memory& memory() {
  static auto* instance = new Memory;
  return *instance;
}

void* Memory::allocate(Device& device, std::size_t bytes, bool on_device) {
  if (faults().allocation.next()) throw Failure{cudaErrorMemoryAllocation};
  if (on_device && !device.take_memory(bytes)) throw Failure{cudaErrorMemoryAllocation};
  void* pointer = nullptr;
  if (posix_memalign(&pointer, kAlignment, bytes) != 0) {
    if (on_device) device.return_memory(bytes);
    throw Failure{cudaErrorMemoryAllocation};
  }
  std::memset(pointer, kUninitializedByte, bytes);
  const std::lock_guard lock(mutex_);
  auto* begin = static_cast<char*>(pointer);
  allocations_[begin] = {begin, bytes, &device, on_device};
  if (on_device && settings().one_at_a_time) poison(begin, bytes);
  return pointer;
}

void Memory::release(void* pointer, bool audible) {
  Allocation allocation{};
  {
    const std::lock_guard lock(mutex_);
    const auto it = allocations_.find(static_cast<const char*>(pointer));
    if (it == allocations_.end()) throw Failure{cudaErrorInvalidValue};
    allocation = it->second;
    allocations_.erase(it);
  }
  if (allocation.on_device) allocation.device->return_memory(allocation.bytes);
  unpoison(allocation.begin, allocation.bytes);
  if (audible) {
    const Audible seen;
    std::free(pointer);
  } else {
    std::free(pointer);
  }
}

std::optional<Allocation> Memory::find(const void* pointer) const {
  const auto* address = static_cast<const char*>(pointer);
  const std::lock_guard lock(mutex_);
  auto it = allocations_.upper_bound(address);
  if (it == allocations_.begin()) return std::nullopt;
  const Allocation& allocation = (--it)->second;
  if (address >= allocation.begin + allocation.bytes) return std::nullopt;
  return allocation;
}

void Memory::release_all() {
  const std::lock_guard lock(mutex_);
  for (const auto& [address, allocation] : allocations_) {
    unpoison(allocation.begin, allocation.bytes);
    std::free(allocation.begin);
  }
  allocations_.clear();
}

std::string Memory::held() const {
  const std::lock_guard lock(mutex_);
  std::string text;
  for (const auto& [address, allocation] : allocations_) {
    if (!text.empty()) text += ", ";
    text += std::to_string(allocation.bytes) + " bytes of " +
            (allocation.on_device ? "device" : "pinned") + " memory";
  }
  return text;
}

void Memory::poison_device_memory(bool poisoned) {
  const std::lock_guard lock(mutex_);
  for (const auto& [address, allocation] : allocations_) {
    if (!allocation.on_device) continue;
    (poisoned ? poison : unpoison)(allocation.begin, allocation.bytes);
  }
}

namespace {

std::mutex& one_at_a_time() {
  static auto* mutex = new std::mutex;
  return *mutex;
}

}  // namespace

DeviceMemoryInUse::DeviceMemoryInUse() {
  if (!settings().one_at_a_time) return;
  lock_ = std::unique_lock(one_at_a_time());
  memory().poison_device_memory(false);
}

DeviceMemoryInUse::~DeviceMemoryInUse() {
  if (lock_.owns_lock()) memory().poison_device_memory(true);
}

}  // namespace lockstep::emulator
