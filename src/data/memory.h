// How much memory a data set may take, asked before it is allocated.
#pragma once

#include <cstdint>
#include <string>

namespace lockstep {

// Bytes of physical memory, or of the control group's limit where that is lower.
uint64_t physical_memory();

// Bytes that can be allocated now without swapping, within the control group's limit.
uint64_t available_memory();

// Throws Error{data} that names both sizes when `bytes` more for `what` would not fit.
void require_memory(const std::string& what, double bytes);

// rows * columns * element_size; Error{data} as above where the product cannot be held, overflow
// included. All factors are non-negative.
uint64_t checked_size(const std::string& what, int64_t rows, int64_t columns, size_t element_size);

}  // namespace lockstep
