// Words for device threads and what they wait for.
#pragma once

#include <string>

#include "block.h"

namespace lockstep::emulator {

std::string describe(uint3 index);
std::string describe(Site site);
std::string describe(const Thread& thread);
// One line for each thing that threads of the block wait at.
std::string describe_waiting(const Block& block);

// A function's mangled name; null where the program does not export it.
const char* symbol_name(const void* function);
// Demangled; its address where it is not exported.
std::string function_name(const void* function);

}  // namespace lockstep::emulator
