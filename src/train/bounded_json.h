// JSON of checkpoints, from files that nobody vouches for.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "lockstep/error.h"

namespace lockstep {

// Depth that no file of ours reaches: what walks a document recursively stays off the stack's end.
inline constexpr int kMaxJsonDepth = 32;

// What to do about a checkpoint that cannot be used.
inline constexpr const char* kCheckpointRemedy =
    "give a checkpoint that 'lockstep train --out DIR' wrote, or write it again";

// Parses `text`; `place` names it in the Error{kind} that malformed or too deep text throws.
inline nlohmann::json parse_bounded_json(std::string_view text, const std::string& place,
                                         ErrorKind kind) {
  const auto check_depth = [&](int depth, nlohmann::json::parse_event_t, nlohmann::json&) {
    if (depth > kMaxJsonDepth)
      throw Error(kind, place + " is nested too deeply", kCheckpointRemedy);
    return true;
  };
  try {
    return nlohmann::json::parse(text, check_depth);
  } catch (const nlohmann::json::exception& error) {
    const std::string reason = error.what();  // up to the offending text, which may be anything
    throw Error(kind, place + " is not valid JSON: " + reason.substr(0, reason.find("; last read")),
                kCheckpointRemedy);
  }
}

}  // namespace lockstep
