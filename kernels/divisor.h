// Division by a number that is known before a kernel starts.
#pragma once

#include <bit>
#include <cstdint>

#include "lockstep/host_device.h"

namespace lockstep {

// n / d and n % d for 0 <= n < 2^31 by a multiplication and a shift, where a GPU's own division is
// some twenty instructions (Granlund and Montgomery 1994, "Division by invariant integers using
// multiplication", with a multiplier of 32 bits, which 31-bit numerators allow).
class Divisor {
 public:
  Divisor() = default;
  // REQUIRES: 1 <= d < 2^31.
  explicit Divisor(std::int64_t d) : divisor_(static_cast<std::uint32_t>(d)) {
    if (divisor_ == 1) return;
    const int log = std::bit_width(divisor_ - 1);  // ceil(log2 d)
    const std::uint64_t power = std::uint64_t{1} << (31 + log);
    multiplier_ = static_cast<std::uint32_t>((power + divisor_ - 1) / divisor_);
    shift_ = static_cast<std::uint32_t>(log - 1);
  }

  LOCKSTEP_HD int quotient(int n) const {
    const auto number = static_cast<std::uint32_t>(n);
    if (divisor_ == 1) return n;
    const auto upper = static_cast<std::uint32_t>((std::uint64_t{number} * multiplier_) >> 32);
    return static_cast<int>(upper >> shift_);
  }
  LOCKSTEP_HD int remainder(int n, int quotient) const {
    return n - quotient * static_cast<int>(divisor_);
  }
  LOCKSTEP_HD int value() const { return static_cast<int>(divisor_); }

 private:
  std::uint32_t divisor_ = 1, multiplier_ = 0, shift_ = 0;
};

}  // namespace lockstep
