// What streams do, one after the other. Immutable: a graph does the same one many times.
#pragma once

#include <memory>

#include "grid.h"
#include "signal.h"

namespace lockstep::emulator {

class Stream;

class Operation {
 public:
  virtual ~Operation() = default;

  // On the stream's thread, under Quiet, after everything before it in the stream has ended, but
  // for an operation that overlaps. The device may have failed.
  virtual void run(Stream& stream) const = 0;

  virtual bool overlaps() const { return false; }
  // Waits for others and does nothing itself, so that delaying it shows nothing.
  virtual bool bookkeeping() const { return false; }
  virtual Device* device() const { return nullptr; }  // where it must run; null: anywhere
};

using OperationPointer = std::shared_ptr<const Operation>;

OperationPointer kernel_operation(KernelLaunch launch);
OperationPointer copy_operation(void* to, const void* from, std::size_t bytes,
                                std::shared_ptr<void> staging = nullptr);
OperationPointer fill_operation(void* to, int value, std::size_t bytes);
OperationPointer free_operation(void* pointer);
OperationPointer host_operation(void (*function)(void*), void* argument);
OperationPointer fire_operation(std::shared_ptr<Signal> signal);
OperationPointer wait_operation(std::shared_ptr<Signal> signal);

}  // namespace lockstep::emulator
