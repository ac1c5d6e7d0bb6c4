// Normalisation: what `--normalize` means for a data set.
#pragma once

#include <optional>
#include <string>

#include "lockstep/dataset.h"

namespace lockstep {

struct NormalizeChoice {
  Normalize kind = Normalize::none;
  double mean = 0.0, deviation = 1.0;  // kind given
};

// auto (nothing: the data decides) | none | unit | standard | mean=a,std=b. Error{usage} otherwise.
std::optional<NormalizeChoice> parse_normalize(const std::string& text);

// What to apply, from the training part alone. `unit` is the largest value of uint8 features.
// `standard` is per feature for tables and per channel for images (single pixels may hardly vary).
// Sums are exact integers for uint8, float64 over fixed blocks of rows merged in order (Chan,
// Golub, LeVeque 1983) for float32. Error{usage} for `unit` of float32 features.
Normalization make_normalization(std::optional<NormalizeChoice> choice, const Split& train,
                                 const std::optional<ImageShape>& image, double unit);

}  // namespace lockstep
