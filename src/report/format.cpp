#include "report/format.h"

#include <fmt/format.h>

#include <array>
#include <cmath>

namespace lockstep {

namespace {

// Three significant digits of a value in [0, 1000).
std::string three_digits(double value) {
  if (value < 9.995) return fmt::format("{:.2f}", value);
  if (value < 99.95) return fmt::format("{:.1f}", value);
  return fmt::format("{:.0f}", value);
}

// `value` with the largest of `units` that leaves it at least 1; each unit is 1000 of the one
// before.
template <size_t N>
std::string scaled(double value, const std::array<const char*, N>& units) {
  size_t unit = 0;
  while (value >= 999.5 && unit + 1 < N) {
    value /= 1000.0;
    ++unit;
  }
  if (unit == 0 && value == std::floor(value)) return fmt::format("{:.0f}{}", value, units[0]);
  return three_digits(value) + units[unit];
}

}  // namespace

std::string format_seconds(double seconds) {
  if (seconds <= 0.0) return "0 s";
  if (seconds < 1e-3) return three_digits(seconds * 1e6) + " us";
  if (seconds < 0.9995) return three_digits(seconds * 1e3) + " ms";
  if (seconds < 99.95) return three_digits(seconds) + " s";
  const auto whole = static_cast<int64_t>(std::llround(seconds));
  if (whole < 3600) return fmt::format("{} min {} s", whole / 60, whole % 60);
  return fmt::format("{} h {} min", whole / 3600, whole % 3600 / 60);
}

std::string format_count(double count) {
  return scaled(count, std::array{"", " k", " M", " G", " T"});
}

std::string format_integer(int64_t value) {
  const std::string digits = std::to_string(value);
  std::string text;
  for (size_t i = 0; i < digits.size(); ++i) {
    const bool groups_end = i > 0 && digits[i - 1] != '-' && (digits.size() - i) % 3 == 0;
    if (groups_end) text += ',';
    text += digits[i];
  }
  return text;
}

std::string format_bytes(double bytes) {
  return scaled(bytes, std::array{" B", " kB", " MB", " GB", " TB"});
}

std::string format_fraction(std::optional<double> fraction) {
  return fraction ? fmt::format("{:.4f}", *fraction) : "-";
}

}  // namespace lockstep
