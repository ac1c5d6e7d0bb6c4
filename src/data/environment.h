// Environment variables.
#pragma once

#include <string>

namespace lockstep {

// The variable's value; empty where it is not set. Any thread: this program never sets one.
std::string environment_variable(const char* name);

}  // namespace lockstep
