#include "train/nearest.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

namespace lockstep {

int edit_distance(std::string_view a, std::string_view b) {
  const size_t columns = b.size() + 1;
  // Row i holds the distances of a's first i letters to every prefix of b.
  std::vector<int> before(columns), above(columns), row(columns);
  for (size_t j = 0; j < columns; ++j) above[j] = static_cast<int>(j);
  for (size_t i = 1; i <= a.size(); ++i) {
    row[0] = static_cast<int>(i);
    for (size_t j = 1; j < columns; ++j) {
      const int replaced = above[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      row[j] = std::min({above[j] + 1, row[j - 1] + 1, replaced});
      const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) row[j] = std::min(row[j], before[j - 2] + 1);
    }
    std::swap(before, above);
    std::swap(above, row);
  }
  return above.back();
}

std::optional<std::string> nearest(std::string_view text, const std::vector<std::string>& names) {
  const std::string* best = nullptr;
  int best_distance = 0;
  for (const std::string& name : names) {
    const int distance = edit_distance(text, name);
    if (best == nullptr || distance < best_distance) {
      best = &name;
      best_distance = distance;
    }
  }
  if (best == nullptr) return std::nullopt;
  const size_t longest = std::max(text.size(), best->size());
  if (2 * static_cast<size_t>(best_distance) > longest) return std::nullopt;
  return *best;
}

std::string suggestion(std::string_view text, const std::vector<std::string>& names) {
  if (const auto name = nearest(text, names)) return fmt::format("did you mean '{}'?", *name);
  return fmt::format("expected one of: {}", fmt::join(names, ", "));
}

}  // namespace lockstep
