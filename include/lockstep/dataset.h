// A data set in memory (or mapped), as the readers of src/data/ deliver it.
//
// Immutable once loaded: any number of workers read it at once.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "lockstep/image.h"

namespace lockstep {

// bfloat16 is no data set's own: features that were normalised and rounded for a training.
enum class FeatureType { float32, uint8, bfloat16 };

constexpr size_t bytes_of(FeatureType type) {
  switch (type) {
    case FeatureType::float32: return 4;
    case FeatureType::bfloat16: return 2;
    case FeatureType::uint8: return 1;
  }
  return 0;
}

// Row-major features [rows, columns] as stored: uint8 stays uint8. The memory is owned through
// `keep_alive` (a Buffer, a mapped file, or another matrix that this one is a slice of).
struct FeatureMatrix {
  FeatureType type = FeatureType::float32;
  int64_t rows = 0;
  int64_t columns = 0;
  const void* data = nullptr;  // rows * columns elements, no padding between rows
  bool mapped = false;         // pages come from a file, not from this process's memory
  std::shared_ptr<const void> keep_alive;

  const float* float_row(int64_t row) const {
    return static_cast<const float*>(data) + row * columns;
  }
  const uint8_t* byte_row(int64_t row) const {
    return static_cast<const uint8_t*>(data) + row * columns;
  }
  size_t bytes() const { return static_cast<size_t>(rows) * columns * bytes_of(type); }
};

// One part (training or test). Labels are class indices in [0, classes); empty for label=none data.
struct Split {
  FeatureMatrix features;
  std::vector<int32_t> labels;
  int64_t size() const { return features.rows; }
};

enum class Normalize {
  none,      // x
  unit,      // uint8 to [0, 1]: x / 255, of `digits`, whose values end at 16, x / 16
  standard,  // (x - mean) / standard deviation of the training part, per feature, of images per
             // channel; zero variance means scale 1
  given,     // (x - mean) / std with the two numbers of `mean=..,std=..` (in units of `unit` for
             // uint8)
};

// What is applied to a feature as a batch is gathered: x * scale[j] + offset[j] in float32, as one
// fused multiply-add. Both vectors hold `columns` entries, or one that holds for every feature, or
// none, which is the identity.
struct Normalization {
  Normalize kind = Normalize::none;
  std::vector<float> scale;
  std::vector<float> offset;
  bool identity() const { return scale.empty(); }
};

struct Dataset {
  std::string name;  // the SPEC as given
  Split train;
  std::optional<Split> test;
  int classes = 0;  // 0 for label=none data
  std::vector<std::string>
      class_names;                  // the label in the file of each class index, `classes` of them
  std::optional<ImageShape> image;  // absent for tables
  Normalization normalization;
  std::string sha256;      // hex, of what data.h says at load_dataset
  std::string label_note;  // what was chosen: "label: column 'target' (last)", for the user
  double load_seconds = 0.0;

  int64_t features() const { return train.features.columns; }
};

}  // namespace lockstep
