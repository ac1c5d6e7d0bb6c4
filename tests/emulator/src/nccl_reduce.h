// What collectives compute, and what their types and operations are called.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "nccl.h"

namespace lockstep::emulator {

using Bytes = std::vector<char>;

std::size_t size_of(ncclDataType_t type);  // 0 for one that the emulator does not have
std::string name_of(ncclDataType_t type);
std::string name_of(ncclRedOp_t op);

// The ranks' values, each `count` of them, in one. Every few elements are added in an order of
// their own, a function of the seed, which is never that of the ranks: NCCL promises none. Two
// ranks leave no choice.
Bytes reduce(const std::vector<const char*>& ranks, std::size_t count, ncclDataType_t type,
             ncclRedOp_t op, std::uint64_t seed);

}  // namespace lockstep::emulator
