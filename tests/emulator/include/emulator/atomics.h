// Atomic operations: relaxed, as CUDA's. One that follows a fence releases, and a fence acquires
// what the atomics before it read, so that ThreadSanitizer knows CUDA's fence idioms.
#pragma once

#include "emulator/device_runtime.h"

namespace lockstep::emulator {

// Replaces *address by next(*address), and returns what it was.
template <class T, class Next>
T atomic_update(T* address, Site site, Next next) {
  const AtomicOrder order = before_atomic(address, site);
  if (order == AtomicOrder::none) {
    const T read = *address;
    yield();
    *address = next(read);
    return read;
  }
  const bool release = order == AtomicOrder::release;
  T old;
  __atomic_load(address, &old, __ATOMIC_RELAXED);
  for (;;) {
    T value = next(old);
    const bool done = release ? __atomic_compare_exchange(address, &old, &value, false,
                                                          __ATOMIC_RELEASE, __ATOMIC_RELAXED)
                              : __atomic_compare_exchange(address, &old, &value, false,
                                                          __ATOMIC_RELAXED, __ATOMIC_RELAXED);
    if (done) return old;
  }
}

}  // namespace lockstep::emulator

#define LOCKSTEP_ATOMIC(name, type, expression)                                      \
  inline type name(type* address, type operand, const char* file = __builtin_FILE(), \
                   int line = __builtin_LINE()) {                                    \
    return lockstep::emulator::atomic_update(                                        \
        address, {file, line},                                                       \
        [operand]([[maybe_unused]] type old) -> type { return expression; });        \
  }
#define LOCKSTEP_INTEGER_ATOMICS(type)                                                      \
  LOCKSTEP_ATOMIC(atomicAdd, type, old + operand)                                           \
  LOCKSTEP_ATOMIC(atomicMin, type, old < operand ? old : operand)                           \
  LOCKSTEP_ATOMIC(atomicMax, type, old > operand ? old : operand)                           \
  LOCKSTEP_ATOMIC(atomicExch, type, operand)                                                \
  LOCKSTEP_ATOMIC(atomicAnd, type, old& operand)                                            \
  LOCKSTEP_ATOMIC(atomicOr, type, old | operand)                                            \
  LOCKSTEP_ATOMIC(atomicXor, type, old ^ operand)                                           \
  inline type atomicCAS(type* address, type expected, type operand,                         \
                        const char* file = __builtin_FILE(), int line = __builtin_LINE()) { \
    return lockstep::emulator::atomic_update(                                               \
        address, {file, line}, [=](type old) { return old == expected ? operand : old; });  \
  }

LOCKSTEP_INTEGER_ATOMICS(int)
LOCKSTEP_INTEGER_ATOMICS(unsigned)
LOCKSTEP_INTEGER_ATOMICS(unsigned long long)
LOCKSTEP_ATOMIC(atomicSub, int, old - operand)
LOCKSTEP_ATOMIC(atomicSub, unsigned, old - operand)
LOCKSTEP_ATOMIC(atomicInc, unsigned, old >= operand ? 0U : old + 1)
LOCKSTEP_ATOMIC(atomicAdd, float, old + operand)
LOCKSTEP_ATOMIC(atomicAdd, double, old + operand)
LOCKSTEP_ATOMIC(atomicExch, float, operand)

#undef LOCKSTEP_INTEGER_ATOMICS
#undef LOCKSTEP_ATOMIC
