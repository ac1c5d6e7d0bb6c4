#include "operation.h"

#include <cstring>

#include "device.h"
#include "memory.h"
#include "sanitizer.h"
#include "stream.h"

namespace lockstep::emulator {

namespace {

class KernelOperation : public Operation {
 public:
  explicit KernelOperation(KernelLaunch launch) : launch_(std::move(launch)) {}
  void run(Stream& stream) const override { stream.start_grid(launch_); }
  bool overlaps() const override { return launch_.programmatic; }
  Device* device() const override { return launch_.device; }

 private:
  KernelLaunch launch_;
};

class CopyOperation : public Operation {
 public:
  CopyOperation(void* to, const void* from, std::size_t bytes, std::shared_ptr<void> staging)
      : to_(to), from_(from), bytes_(bytes), staging_(std::move(staging)) {}
  void run(Stream& stream) const override {
    if (stream.device().sticky_error() != cudaSuccess) return;
    const DeviceMemoryInUse in_use;
    const Audible audible;
    std::memmove(to_, from_, bytes_);
    spend(copy_cost(bytes_));
  }

 private:
  void* to_;
  const void* from_;
  std::size_t bytes_;
  std::shared_ptr<void> staging_;  // keeps `from` alive
};

class FillOperation : public Operation {
 public:
  FillOperation(void* to, int value, std::size_t bytes) : to_(to), value_(value), bytes_(bytes) {}
  void run(Stream& stream) const override {
    if (stream.device().sticky_error() != cudaSuccess) return;
    const DeviceMemoryInUse in_use;
    const Audible audible;
    std::memset(to_, value_, bytes_);
    spend(copy_cost(bytes_));
  }

 private:
  void* to_;
  int value_;
  std::size_t bytes_;
};

class FreeOperation : public Operation {
 public:
  explicit FreeOperation(void* pointer) : pointer_(pointer) {}
  void run(Stream&) const override {
    const DeviceMemoryInUse in_use;
    memory().release(pointer_, true);
  }

 private:
  void* pointer_;
};

class HostOperation : public Operation {
 public:
  HostOperation(void (*function)(void*), void* argument)
      : function_(function), argument_(argument) {}
  void run(Stream& stream) const override {
    if (stream.device().sticky_error() != cudaSuccess) return;
    const Audible audible;
    function_(argument_);
  }

 private:
  void (*function_)(void*);
  void* argument_;
};

class FireOperation : public Operation {
 public:
  explicit FireOperation(std::shared_ptr<Signal> signal) : signal_(std::move(signal)) {}
  void run(Stream&) const override { signal_->fire(); }
  bool bookkeeping() const override { return true; }

 private:
  std::shared_ptr<Signal> signal_;
};

class WaitOperation : public Operation {
 public:
  explicit WaitOperation(std::shared_ptr<Signal> signal) : signal_(std::move(signal)) {}
  void run(Stream&) const override { signal_->wait(); }
  bool bookkeeping() const override { return true; }

 private:
  std::shared_ptr<Signal> signal_;
};

}  // namespace

OperationPointer kernel_operation(KernelLaunch launch) {
  return std::make_shared<KernelOperation>(std::move(launch));
}

OperationPointer copy_operation(void* to, const void* from, std::size_t bytes,
                                std::shared_ptr<void> staging) {
  return std::make_shared<CopyOperation>(to, from, bytes, std::move(staging));
}

OperationPointer fill_operation(void* to, int value, std::size_t bytes) {
  return std::make_shared<FillOperation>(to, value, bytes);
}

OperationPointer free_operation(void* pointer) {
  return std::make_shared<FreeOperation>(pointer);
}

OperationPointer host_operation(void (*function)(void*), void* argument) {
  return std::make_shared<HostOperation>(function, argument);
}

OperationPointer fire_operation(std::shared_ptr<Signal> signal) {
  return std::make_shared<FireOperation>(std::move(signal));
}

OperationPointer wait_operation(std::shared_ptr<Signal> signal) {
  return std::make_shared<WaitOperation>(std::move(signal));
}

}  // namespace lockstep::emulator
