// A warp: lanes meet by the mask that they name, so that lanes which diverged meet apart.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "emulator/device_runtime.h"

namespace lockstep::emulator {

struct Thread;

// One operation of a warp: what each lane of it brought.
struct Exchange {
  static constexpr std::size_t kMostBytes = 32;

  template <class T>
  const T& from(unsigned lane) const {
    static_assert(sizeof(T) <= kMostBytes);
    return *reinterpret_cast<const T*>(data[lane]);
  }
  bool has(unsigned lane) const { return (arrived >> lane & 1U) != 0; }

  unsigned mask = 0;
  unsigned arrived = 0;
  unsigned readers = 0;
  const char* what = nullptr;
  Site site;
  alignas(16) std::byte data[32][kMostBytes];
};

class Warp {
 public:
  Warp(Thread* first, unsigned lanes);

  // The calling lane brings `data` and waits for every lane of `mask` that has not left the kernel
  // to come to the same operation at the same place. Each lane that met calls `done` when it has
  // read what it wants. The lanes' memory is ordered where `ordered`.
  Exchange& meet(Thread& thread, unsigned mask, const char* what, Site site, const void* data,
                 std::size_t bytes, bool ordered = false);
  void done(Exchange& exchange);

  // A lane left the kernel.
  void leave(unsigned lane);

 private:
  using Owned = std::unique_ptr<Exchange>;

  Exchange& join(unsigned mask, const char* what, Site site);
  bool complete(const Exchange& exchange) const;
  void finish(Exchange& exchange, const Thread* except);

  Thread* first_;
  unsigned alive_;
  std::vector<Owned> open_;
  std::vector<Owned> idle_;
};

}  // namespace lockstep::emulator
