// Numbers as people read them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace lockstep {

// "0.83 ms", "1.24 s", "12 min 30 s".
std::string format_seconds(double seconds);
// "117 k", "48.1 M": three digits and a unit of a thousand.
std::string format_count(double count);
// "235,146".
std::string format_integer(int64_t value);
// "1.4 MB": powers of 1000.
std::string format_bytes(double bytes);
// "0.9812", or "-" for nothing.
std::string format_fraction(std::optional<double> fraction);

}  // namespace lockstep
