// What the makers of models share.
#pragma once

#include <cstdint>

namespace lockstep {

// Throws Error{data} for data that no classifier can be made for.
void check_data(int64_t inputs, int classes);

}  // namespace lockstep
