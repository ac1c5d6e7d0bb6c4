#include "data/failure.h"

#include <fmt/format.h>

#include "lockstep/error.h"

namespace lockstep {

void fail_at(const std::string& path, const std::string& place, const std::string& problem,
             const std::string& remedy) {
  const std::string where = place.empty() ? path : path + ": " + place;
  throw Error(ErrorKind::data, where + ": " + problem, remedy);
}

std::string in_quotes(std::string_view text) {
  constexpr size_t kShown = 40;
  std::string shown(text.substr(0, kShown));
  for (char& c : shown) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) c = '?';
  }
  return fmt::format("'{}{}'", shown, text.size() > kShown ? "..." : "");
}

std::string readable_bytes(double bytes) {
  const char* const units[] = {"bytes", "kB", "MB", "GB", "TB", "PB", "EB"};
  size_t unit = 0;
  while (bytes >= 1000.0 && unit + 1 < std::size(units)) {
    bytes /= 1000.0;
    ++unit;
  }
  return unit == 0 ? fmt::format("{:.0f} bytes", bytes)
                   : fmt::format("{:.1f} {}", bytes, units[unit]);
}

}  // namespace lockstep
