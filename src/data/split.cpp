#include "data/split.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "data/failure.h"
#include "data/memory.h"
#include "lockstep/rng.h"
#include "lockstep/sampler.h"

namespace lockstep {
namespace {

// A sampler of its own key gives the chosen rows; in ascending order.
std::vector<int64_t> chosen_rows(int64_t rows, int64_t count, uint64_t seed) {
  const RandomStream stream{.seed = seed, .purpose = Purpose::test_split, .layer = 0, .epoch = 0};
  const Philox4 key = stream.draw(0, 0);
  const Sampler order(rows, uint64_t{key.x} << 32 | key.y, Shuffle::epoch);
  std::vector<int64_t> chosen(count);
  order.fill(0, 0, chosen);
  std::sort(chosen.begin(), chosen.end());
  return chosen;
}

std::byte* writable_rows(const RawPart& part, int64_t moved) {
  const auto* const data = static_cast<const std::byte*>(part.features.data);
  if (!part.mapped) return const_cast<std::byte*>(data);  // its own memory, never constant
  const size_t row_bytes = part.features.columns * bytes_of(part.features.type);
  require_memory(part.path + ": splitting off a test part",
                 2.0 * static_cast<double>(moved) * static_cast<double>(row_bytes));
  const size_t offset = data - part.mapped->bytes().data();
  return part.mapped->make_writable() + offset;
}

FeatureMatrix rows_of(const FeatureMatrix& matrix, int64_t begin, int64_t end) {
  FeatureMatrix slice = matrix;
  slice.rows = end - begin;
  slice.data = static_cast<const std::byte*>(matrix.data) +
               begin * matrix.columns * static_cast<int64_t>(bytes_of(matrix.type));
  return slice;
}

}  // namespace

TwoParts split_off_test(RawPart part, double fraction, uint64_t seed) {
  const int64_t rows = part.features.rows;
  if (rows < 2) {
    fail_at(part.path, "", fmt::format("{} row cannot be split into two parts", rows),
            "give more rows, or no test fraction");
  }
  const int64_t count =
      std::clamp<int64_t>(std::llround(fraction * static_cast<double>(rows)), 1, rows - 1);
  const std::vector<int64_t> chosen = chosen_rows(rows, count, seed);
  std::byte* const base = writable_rows(part, count);
  const size_t row_bytes = part.features.columns * bytes_of(part.features.type);

  const int64_t boundary = rows - count;
  auto in_tail = std::lower_bound(chosen.begin(), chosen.end(), boundary);
  int64_t tail = boundary;
  for (auto row = chosen.begin(); row != chosen.end() && *row < boundary; ++row, ++tail) {
    for (; in_tail != chosen.end() && *in_tail == tail; ++in_tail) ++tail;
    std::swap_ranges(base + *row * row_bytes, base + (*row + 1) * row_bytes,
                     base + tail * row_bytes);
    if (!part.labels.empty()) std::swap(part.labels.codes[*row], part.labels.codes[tail]);
  }

  TwoParts parts{part, part};
  parts.train.features = rows_of(part.features, 0, boundary);
  parts.test.features = rows_of(part.features, boundary, rows);
  if (!part.labels.empty()) {
    const auto middle = part.labels.codes.begin() + boundary;
    parts.train.labels.codes.assign(part.labels.codes.begin(), middle);
    parts.test.labels.codes.assign(middle, part.labels.codes.end());
  }
  return parts;
}

void limit_rows(RawPart& part, int64_t rows) {
  if (rows >= part.features.rows) return;
  part.features = rows_of(part.features, 0, rows);
  if (!part.labels.empty()) part.labels.codes.resize(rows);
}

}  // namespace lockstep
