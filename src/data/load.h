// load_dataset and load_for_model with what only tests change.
#pragma once

#include "lockstep/data.h"

namespace lockstep {

struct LoadLimits {
  uint64_t map_above;  // plain files larger than this are mapped, bytes
};

// A quarter of the memory: what is read into memory is faster to gather from (huge pages, no page
// faults), what is mapped leaves the memory to the kernel's page cache.
LoadLimits default_limits();

Dataset load_dataset(const DataConfig& config, uint64_t seed, const LoadLimits& limits);
Dataset load_for_model(const std::string& spec, const DataContract& contract, bool labels_expected,
                       const LoadLimits& limits);

}  // namespace lockstep
