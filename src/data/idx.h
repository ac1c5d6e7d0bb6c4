// IDX, the format of MNIST: a magic number, big-endian sizes, elements.
#pragma once

#include <string>

#include "data/reader.h"

namespace lockstep {

// The features of an IDX file, plain or gzip-compressed; 1 to 4 dimensions, the first is rows.
// Dimensions (n, h, w) and (n, c, h, w) are images. uint8 stays uint8, other types become float32.
RawPart read_idx_features(const std::string& path, const ReadContext& context);

// The labels of an IDX file of one dimension and integers. Error{data} that names both files unless
// there are `rows` of them.
RawLabels read_idx_labels(const std::string& path, const RawPart& features,
                          const ReadContext& context);

}  // namespace lockstep
