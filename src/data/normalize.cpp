#include "data/normalize.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "lockstep/error.h"

namespace lockstep {
namespace {

// Count, mean and sum of squared deviations of every group of features.
struct Moments {
  double count = 0.0;
  std::vector<double> mean, squares;
};

// Features of one group share their statistics: one each for tables, a channel's for images.
struct Groups {
  int64_t count = 0;
  int64_t width = 0;  // features in a group, side by side
};

Groups groups_of(int64_t columns, const std::optional<ImageShape>& image) {
  if (!image) return {columns, 1};
  return {image->channels, image->height * image->width};
}

// Exact: 2^56 bytes squared fit. The squares' sum minus the square of the sum is an integer too.
Moments byte_moments(const FeatureMatrix& features, const Groups& groups) {
  std::vector<uint64_t> sums(features.columns), squares(features.columns);
  for (int64_t row = 0; row < features.rows; ++row) {
    const uint8_t* x = features.byte_row(row);
    for (int64_t j = 0; j < features.columns; ++j) {
      sums[j] += x[j];
      squares[j] += uint64_t{x[j]} * x[j];
    }
  }
  const uint64_t count = static_cast<uint64_t>(features.rows) * groups.width;
  Moments moments{static_cast<double>(count), {}, {}};
  for (int64_t group = 0; group < groups.count; ++group) {
    uint64_t sum = 0, square = 0;
    for (int64_t j = group * groups.width; j < (group + 1) * groups.width; ++j) {
      sum += sums[j];
      square += squares[j];
    }
    __extension__ using Wide = unsigned __int128;
    const Wide spread = Wide{square} * count - Wide{sum} * sum;
    moments.mean.push_back(static_cast<double>(sum) / moments.count);
    moments.squares.push_back(static_cast<double>(spread) / moments.count);
  }
  return moments;
}

// One block of rows, feature by feature: sums first, then squared deviations from the block's mean.
Moments block_moments(const FeatureMatrix& features, int64_t begin, int64_t end) {
  const int64_t columns = features.columns;
  Moments block{static_cast<double>(end - begin), std::vector<double>(columns),
                std::vector<double>(columns)};
  for (int64_t row = begin; row < end; ++row) {
    const float* x = features.float_row(row);
    for (int64_t j = 0; j < columns; ++j) block.mean[j] += x[j];
  }
  for (double& mean : block.mean) mean /= block.count;
  for (int64_t row = begin; row < end; ++row) {
    const float* x = features.float_row(row);
    for (int64_t j = 0; j < columns; ++j) {
      const double deviation = x[j] - block.mean[j];
      block.squares[j] += deviation * deviation;
    }
  }
  return block;
}

void merge(double& count, double& mean, double& squares, double other_count, double other_mean,
           double other_squares) {
  const double total = count + other_count;
  const double delta = other_mean - mean;
  mean += delta * (other_count / total);
  squares += other_squares + delta * delta * (count * other_count / total);
  count = total;
}

Moments float_moments(const FeatureMatrix& features, const Groups& groups) {
  constexpr int64_t kBlockRows = 1024;
  const int64_t columns = features.columns;
  Moments all{0.0, std::vector<double>(columns), std::vector<double>(columns)};
  for (int64_t begin = 0; begin < features.rows; begin += kBlockRows) {
    const int64_t end = std::min(features.rows, begin + kBlockRows);
    const Moments block = block_moments(features, begin, end);
    for (int64_t j = 0; j < columns; ++j) {
      double count = all.count;
      merge(count, all.mean[j], all.squares[j], block.count, block.mean[j], block.squares[j]);
    }
    all.count += block.count;
  }
  if (groups.width == 1) return all;
  Moments grouped{all.count * static_cast<double>(groups.width), {}, {}};
  for (int64_t group = 0; group < groups.count; ++group) {
    double count = 0.0, mean = 0.0, squares = 0.0;
    for (int64_t j = group * groups.width; j < (group + 1) * groups.width; ++j) {
      merge(count, mean, squares, all.count, all.mean[j], all.squares[j]);
    }
    grouped.mean.push_back(mean);
    grouped.squares.push_back(squares);
  }
  return grouped;
}

// (x - mean) / deviation as one multiply-add.
void append(Normalization& normalization, double mean, double deviation, int64_t times) {
  const double scale = deviation > 0.0 ? 1.0 / deviation : 1.0;
  normalization.scale.insert(normalization.scale.end(), times, static_cast<float>(scale));
  normalization.offset.insert(normalization.offset.end(), times, static_cast<float>(-mean * scale));
}

Normalization standardize(const FeatureMatrix& features, const std::optional<ImageShape>& image) {
  const Groups groups = groups_of(features.columns, image);
  const Moments moments = features.type == FeatureType::uint8 ? byte_moments(features, groups)
                                                              : float_moments(features, groups);
  Normalization result;
  result.kind = Normalize::standard;
  for (int64_t group = 0; group < groups.count; ++group) {
    append(result, moments.mean[group], std::sqrt(moments.squares[group] / moments.count),
           groups.count == 1 ? 1 : groups.width);
  }
  return result;
}

std::optional<double> number(std::string_view text) {
  double value = 0.0;
  const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (status != std::errc() || end != text.data() + text.size() || !std::isfinite(value)) {
    return std::nullopt;
  }
  return value;
}

}  // namespace

std::optional<NormalizeChoice> parse_normalize(const std::string& text) {
  if (text.empty() || text == "auto") return std::nullopt;
  if (text == "none") return NormalizeChoice{Normalize::none};
  if (text == "unit") return NormalizeChoice{Normalize::unit};
  if (text == "standard") return NormalizeChoice{Normalize::standard};
  const std::string_view view = text;
  const size_t comma = view.find(',');
  if (view.starts_with("mean=") && comma != std::string::npos &&
      view.substr(comma + 1).starts_with("std=")) {
    const auto mean = number(view.substr(5, comma - 5));
    const auto deviation = number(view.substr(comma + 5));
    if (mean && deviation && *deviation > 0.0) {
      return NormalizeChoice{Normalize::given, *mean, *deviation};
    }
  }
  throw Error(ErrorKind::usage, fmt::format("--normalize {}: no such normalisation", text),
              "use auto, none, unit, standard, or mean=NUMBER,std=NUMBER with a std above 0");
}

Normalization make_normalization(std::optional<NormalizeChoice> choice, const Split& train,
                                 const std::optional<ImageShape>& image, double unit) {
  const bool bytes = train.features.type == FeatureType::uint8;
  if (!choice) choice = NormalizeChoice{bytes ? Normalize::unit : Normalize::none};
  Normalization result;
  result.kind = choice->kind;
  switch (choice->kind) {
    case Normalize::none: break;
    case Normalize::unit:
      if (!bytes) {
        throw Error(ErrorKind::usage, "--normalize unit scales bytes, these features are float32",
                    "use standard or none");
      }
      append(result, 0.0, unit, 1);
      break;
    case Normalize::standard: return standardize(train.features, image);
    case Normalize::given:
      // Both numbers are in units of `unit`, as they are commonly published for images.
      append(result, choice->mean * (bytes ? unit : 1.0), choice->deviation * (bytes ? unit : 1.0),
             1);
      break;
  }
  return result;
}

}  // namespace lockstep
