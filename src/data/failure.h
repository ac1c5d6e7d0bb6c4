// How the readers report a malformed file: always the file, the place in it and what was expected.
#pragma once

#include <string>
#include <string_view>

namespace lockstep {

// Throws Error{data, "PATH: PLACE: PROBLEM", remedy}. `place` is "line 3, column 2", "byte 16" and
// the like, or empty for the whole file.
[[noreturn]] void fail_at(const std::string& path, const std::string& place,
                          const std::string& problem, const std::string& remedy);

// A piece of a file for a message: in quotes, cut short, control characters replaced.
std::string in_quotes(std::string_view text);

// "12.3 GB", for messages.
std::string readable_bytes(double bytes);

}  // namespace lockstep
