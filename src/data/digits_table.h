// The embedded digits: data/digits.csv, compiled in (digits_table.cpp.in).
#pragma once

#include <cstdint>
#include <span>

namespace lockstep {

// Records of 64 pixels (8 x 8, 0 to 16) and a label (0 to 9).
std::span<const uint8_t> digits_table();

}  // namespace lockstep
