// Synthetic classification: standard normal features, labels from a hidden linear rule, so that a
// linear model can learn them perfectly. Two classes: y = [x . w > 0]. K classes: the largest of K
// such products. w is standard normal too.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "data/memory.h"
#include "data/normals.h"
#include "data/reader.h"
#include "lockstep/error.h"

namespace lockstep {
namespace {

constexpr int64_t kMostRows = int64_t{1} << 40;
constexpr int64_t kChunkRows = 4096;  // made together, and handed to the digest

// The rules' weights [rules, columns].
struct HiddenRule {
  int64_t rules = 1;
  int64_t columns = 0;
  std::vector<float> weights;
};

// In float32, sixteen sums side by side, then added in order: the same bits everywhere.
float dot(const float* x, const float* w, int64_t columns) {
  constexpr int64_t kSums = 16;
  std::array<float, kSums> sums{};
  int64_t j = 0;
  for (; j + kSums <= columns; j += kSums) {
    for (int64_t k = 0; k < kSums; ++k) sums[k] += x[j + k] * w[j + k];
  }
  for (int64_t k = 0; j + k < columns; ++k) sums[k] += x[j + k] * w[j + k];
  float total = 0.0f;
  for (float sum : sums) total += sum;
  return total;
}

int32_t label_of(const HiddenRule& rule, const float* x) {
  if (rule.rules == 1) return dot(x, rule.weights.data(), rule.columns) > 0.0f;
  int32_t best = 0;
  float largest = dot(x, rule.weights.data(), rule.columns);
  for (int64_t k = 1; k < rule.rules; ++k) {
    const float value = dot(x, rule.weights.data() + k * rule.columns, rule.columns);
    if (value > largest) {
      largest = value;
      best = static_cast<int32_t>(k);
    }
  }
  return best;
}

// Training and test rows are layers 0 and 1 of the same stream: no row is in both.
RawPart make_part(const DataSpec& spec, const HiddenRule& rule, uint64_t seed, uint8_t layer,
                  int64_t rows, BackgroundDigest* digest) {
  const OwnedFeatures features =
      allocate_features(spec.text, FeatureType::float32, rows, rule.columns);
  auto* const values = reinterpret_cast<float*>(features.data);
  const RandomStream stream{
      .seed = seed, .purpose = Purpose::synthetic_features, .layer = layer, .epoch = 0};
  RawPart part{spec.text, features.matrix, nullptr, {spec.text, {}, {}}, std::nullopt};
  part.labels.codes.resize(rows);
  for (int64_t begin = 0; begin < rows; begin += kChunkRows) {
    const int64_t end = std::min(rows, begin + kChunkRows);
    float* const chunk = values + begin * rule.columns;
    fill_normals(stream, static_cast<uint64_t>(begin), end - begin, rule.columns, chunk);
    for (int64_t row = begin; row < end; ++row) {
      part.labels.codes[row] = label_of(rule, values + row * rule.columns);
    }
    if (digest) {
      digest->add(std::as_bytes(std::span(chunk, (end - begin) * rule.columns)),
                  features.matrix.keep_alive);
    }
  }
  return part;
}

}  // namespace

RawData read_synthetic(const DataSpec& spec, const ReadContext& context) {
  for (const char* required : {"n", "d"}) {
    if (spec.options.contains(required)) continue;
    throw Error(ErrorKind::usage, fmt::format("data '{}': {} is missing", spec.text, required),
                "the form is synthetic:n=ROWS,d=FEATURES[,classes=K][,seed=S]");
  }
  const int64_t rows = integer_option(spec, "n", 0, 1, kMostRows);
  const int64_t columns = integer_option(spec, "d", 0, 1, int64_t{1} << 30);
  const int64_t classes = integer_option(spec, "classes", 2, 2, kMaxClasses);
  const auto seed = static_cast<uint64_t>(
      integer_option(spec, "seed", static_cast<int64_t>(context.seed), 0, INT64_MAX));

  require_memory(spec.text,
                 4.0 * static_cast<double>(rows + classes) * static_cast<double>(columns));
  HiddenRule rule{classes == 2 ? 1 : classes, columns, {}};
  rule.weights.resize(rule.rules * columns);
  const RandomStream stream{
      .seed = seed, .purpose = Purpose::synthetic_rule, .layer = 0, .epoch = 0};
  fill_normals(stream, 0, rule.rules, columns, rule.weights.data());

  RawData data;
  for (int64_t k = 0; k < classes; ++k) data.class_names.push_back(fmt::format("{}", k));
  const int64_t test_rows = rows / 10;
  if (context.purpose == Purposes::train || test_rows == 0) {
    data.train = make_part(spec, rule, seed, 0, rows, context.digest);
    if (test_rows > 0 && context.purpose == Purposes::train) {
      data.test = make_part(spec, rule, seed, 1, test_rows, nullptr);
      data.test->labels.names = data.class_names;
    }
  } else {
    data.train = make_part(spec, rule, seed, 1, test_rows, nullptr);
  }
  data.train.labels.names = data.class_names;
  data.schema.columns = columns;
  check_columns(data.train, context);
  data.label_note =
      fmt::format("label: a hidden linear rule over {} features, seed {}", columns, seed);
  return data;
}

}  // namespace lockstep
