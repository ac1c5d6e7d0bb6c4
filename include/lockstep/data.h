// Loading data sets by SPEC: digits, mnist[:DIR], cifar10[:DIR], idx:, libsvm:, npy:, csv:,
// synthetic: (README, "Data").
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "lockstep/config.h"
#include "lockstep/dataset.h"

namespace lockstep {

// Reads, splits, limits and normalises as `config` says; `seed` keys the test split and synthetic
// data. Throws Error{data} (file, place in it, what was expected) or Error{usage} (a bad SPEC).
Dataset load_dataset(const DataConfig& config, uint64_t seed);

// What a checkpoint remembers of the data it was trained on, applied to new data of any SPEC:
// `features` columns, the class names in order, the normalisation. With `labels_expected` false
// (predict) labels are optional and unknown ones are ignored. The samples come back as `train`.
struct DataContract {
  int64_t features = 0;
  std::vector<std::string> class_names;
  Normalization normalization;
};
Dataset load_for_model(const std::string& spec, const DataContract& contract, bool labels_expected);

// Named sets: $LOCKSTEP_DATA (default ~/.cache/lockstep), then ./data.
std::vector<std::string> data_folders(const std::string& name);

}  // namespace lockstep
