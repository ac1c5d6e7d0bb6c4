// Predictions as CSV, NPY and JSON.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cli/values.h"

namespace lockstep::cli {

struct PredictionTable {
  std::vector<std::string> class_names;
  std::vector<int32_t> predicted;    // class index of each sample
  std::vector<float> probabilities;  // [samples, classes]
};

enum class PredictionFormat { csv, npy };

// By the file's ending; devices and pipes, which have none, take CSV. Throws Error{usage} for
// another ending.
PredictionFormat prediction_format(const std::string& path);

// "prediction,p_CLASS,...": a header, then a line a sample. Fields are quoted as RFC 4180 says.
std::string csv_text(const PredictionTable& table);

// The probabilities, float32 [samples, classes], in NPY version 1.0.
std::string npy_text(const PredictionTable& table);

// One object a sample: {"prediction": NAME, "probabilities": [...]}.
Json json_rows(const PredictionTable& table);

}  // namespace lockstep::cli
