// The features of logistic regression in bf16: a copy of the data set's, normalised in float32 and
// rounded once to nearest even, that a training then reads in their stead, half the bytes.
#pragma once

#include <cstddef>
#include <optional>

#include "lockstep/config.h"
#include "lockstep/dataset.h"
#include "lockstep/model.h"

namespace lockstep {

// Both parts with features of FeatureType::bfloat16, which need no further normalisation.
struct RoundedData {
  Split train;
  std::optional<Split> test;
};

// Whether a training reads rounded features: bf16 logistic regression on CPUs.
bool reads_rounded_data(const Resolved& resolved, const Model& model);

// Bytes that rounded_data() allocates for features.
size_t rounded_bytes(const Dataset& dataset);

// Throws Error{data} with both sizes where the copy would not fit in memory.
RoundedData rounded_data(const Dataset& dataset);

}  // namespace lockstep
