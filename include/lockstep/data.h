// Loading data sets by SPEC: digits, mnist[:DIR], cifar10[:DIR], idx:, libsvm:, npy:, csv:,
// synthetic: (README, "Data").
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "lockstep/config.h"
#include "lockstep/dataset.h"

namespace lockstep {

// Reads, splits, limits and normalises as `config` says; `seed` keys the test split and synthetic
// data. Throws Error{data} (file, place in it, what was expected) or Error{usage} (a bad SPEC).
//
// The test part is what `test_fraction` splits off (the data's own test part is then left aside),
// else that of `test_data` (of a SPEC with a test part: that part), else the data's own, else none.
// Class names come from the whole training data before it is split and limited. Data without
// labels (label=none) has no classes: it can be described and predicted, not trained on.
//
// sha256 covers, for the training part and then the test part as they came out: the features as
// stored (row-major, uint8 or little-endian float32), then the labels as little-endian int32
// class indices.
Dataset load_dataset(const DataConfig& config, uint64_t seed);

// What a checkpoint remembers of the data it was trained on, applied to new data of any SPEC:
// `features` columns, the class names in order, the normalisation. With `labels_expected` false
// (predict) labels are optional and unknown ones are ignored. The samples come back as `train`; of
// a SPEC with a test part (digits, mnist, cifar10, synthetic) they are that part. Synthetic data
// has seed 1 unless the SPEC says seed=S.
struct DataContract {
  int64_t features = 0;
  std::vector<std::string> class_names;
  Normalization normalization;
};
Dataset load_for_model(const std::string& spec, const DataContract& contract, bool labels_expected);

// What `lockstep data info` shows.
struct DataInfo {
  std::string name;
  int64_t train_rows = 0;
  std::optional<int64_t> test_rows;
  int64_t features = 0;
  std::string feature_type;  // float32 or uint8, as stored
  std::optional<ImageShape> image;
  std::vector<std::string> class_names;  // empty: no labels
  std::vector<int64_t> train_counts;     // samples of each class
  std::vector<int64_t> test_counts;
  std::string sha256;
  int64_t memory_bytes = 0;  // in this process's memory: features and labels
  int64_t mapped_bytes = 0;  // features that are used where they lie in their file
  std::string label_note;
  std::string normalization;  // "unit (x / 255)"
  double load_seconds = 0.0;
};
DataInfo describe(const Dataset& dataset);

// Where the named set `name` is looked for: NAME in $LOCKSTEP_DATA (default ~/.cache/lockstep),
// then in ./data. `lockstep data fetch NAME` fills the first.
std::vector<std::string> data_folders(const std::string& name);

}  // namespace lockstep
