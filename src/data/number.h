// Numbers in text, by std::from_chars: no locale, correctly rounded.
#pragma once

#include <string>
#include <string_view>

namespace lockstep {

enum class NumberStatus { ok, not_a_number, not_finite };

// Parses a text that must be one number as a whole; a leading '+' is allowed. `not_finite`: "nan",
// "inf", or too large for float32. Numbers too small become 0.
NumberStatus parse_float(std::string_view text, float& value);

// Why the text is not a usable number, for messages: "'abc' is not a number".
std::string explain(NumberStatus status, std::string_view text);

// Without blanks at both ends.
std::string_view trimmed(std::string_view text);

}  // namespace lockstep
