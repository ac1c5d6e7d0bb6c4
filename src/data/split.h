// Splitting a test part off the training part.
#pragma once

#include <cstdint>

#include "data/reader.h"

namespace lockstep {

struct TwoParts {
  RawPart train, test;
};

// Takes round(fraction * rows) rows, at least one and not all, chosen by the seed alone. Done in
// place, without a second copy of the data: the chosen rows go to the end, the training rows that
// stood there take their places; the other rows stay where they are. Rows of a mapped file that
// move become memory of this process. REQUIRES: 0 < fraction < 1.
TwoParts split_off_test(RawPart part, double fraction, uint64_t seed);

// The first `rows` rows, or all where there are fewer.
void limit_rows(RawPart& part, int64_t rows);

}  // namespace lockstep
