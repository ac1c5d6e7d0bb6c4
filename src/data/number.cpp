#include "data/number.h"

#include <charconv>
#include <cmath>
#include <cstdlib>

#include "data/failure.h"

namespace lockstep {
namespace {

// from_chars leaves the value alone when it is out of range: is it huge or tiny?
NumberStatus out_of_range(std::string_view text, float& value) {
  const double wide = std::strtod(std::string(text).c_str(), nullptr);
  value = std::abs(wide) > 1.0 ? HUGE_VALF : 0.0f;
  return std::isfinite(value) ? NumberStatus::ok : NumberStatus::not_finite;
}

}  // namespace

NumberStatus parse_float(std::string_view text, float& value) {
  if (text.size() > 1 && text[0] == '+' && text[1] != '-') text.remove_prefix(1);
  const char* const end = text.data() + text.size();
  const auto [stop, status] = std::from_chars(text.data(), end, value);
  if (stop != end || status == std::errc::invalid_argument) return NumberStatus::not_a_number;
  if (status == std::errc::result_out_of_range) return out_of_range(text, value);
  return std::isfinite(value) ? NumberStatus::ok : NumberStatus::not_finite;
}

std::string explain(NumberStatus status, std::string_view text) {
  if (text.empty()) return "the field is empty, expected a number";
  return in_quotes(text) + (status == NumberStatus::not_finite
                                ? " is not a finite number that float32 can hold"
                                : " is not a number");
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

}  // namespace lockstep
