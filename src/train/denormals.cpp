#include "train/denormals.h"

#include <cstdint>

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

namespace lockstep {

// A control register, for which there is no standard function and Highway has none.
void flush_denormals() noexcept {
#if defined(__x86_64__)
  constexpr unsigned kFlushResults = 0x8000, kOperandsAreZero = 0x0040;
  _mm_setcsr(_mm_getcsr() | kFlushResults | kOperandsAreZero);
#elif defined(__aarch64__)
  constexpr uint64_t kFlush = uint64_t{1} << 24;
  uint64_t control;
  __asm__ __volatile__("mrs %0, fpcr" : "=r"(control));
  __asm__ __volatile__("msr fpcr, %0" : : "r"(control | kFlush));
#endif
}

}  // namespace lockstep
