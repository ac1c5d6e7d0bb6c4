// "Did you mean ...?": the known name nearest to a mistyped one.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace lockstep {

// Optimal string alignment distance: insertions, deletions, replacements and swaps of neighbours.
int edit_distance(std::string_view a, std::string_view b);

// The name nearest to `text`; the first of equals. Nothing when every name differs in more than
// half of its letters.
std::optional<std::string> nearest(std::string_view text, const std::vector<std::string>& names);

// "did you mean 'sync'?" or, where nothing is near, "expected one of: a, b, c".
std::string suggestion(std::string_view text, const std::vector<std::string>& names);

}  // namespace lockstep
