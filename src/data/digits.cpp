// UCI "Optical Recognition of Handwritten Digits" (Alpaydin, Kaynak 1998; data/README.md), the
// 1,797 samples of its test file, embedded. Every fifth (numbers 4, 9, 14, ... from 0) is the test
// part: 359 test and 1,438 training samples, the same writers in both.
#include <fmt/format.h>

#include <algorithm>

#include "data/digits_table.h"
#include "data/reader.h"

namespace lockstep {
namespace {

constexpr int64_t kPixels = 8 * 8;
constexpr int64_t kRecord = kPixels + 1;
constexpr double kWhitest = 16.0;

enum class Part { train, test };

RawPart make_part(Part wanted) {
  const auto table = digits_table();
  const auto records = static_cast<int64_t>(table.size()) / kRecord;
  const auto belongs = [&](int64_t i) { return (i % 5 == 4) == (wanted == Part::test); };
  int64_t rows = 0;
  for (int64_t i = 0; i < records; ++i) rows += belongs(i);

  const OwnedFeatures features = allocate_features("digits", FeatureType::uint8, rows, kPixels);
  RawPart part{"digits", features.matrix, nullptr, {"digits", {}, {}}, ImageShape{1, 8, 8}};
  for (int digit = 0; digit < 10; ++digit) part.labels.names.push_back(fmt::format("{}", digit));
  auto* out = reinterpret_cast<uint8_t*>(features.data);
  for (int64_t i = 0; i < records; ++i) {
    if (!belongs(i)) continue;
    const auto record = table.subspan(i * kRecord, kRecord);
    out = std::copy_n(record.begin(), kPixels, out);
    part.labels.codes.push_back(record[kPixels]);
  }
  return part;
}

}  // namespace

RawData read_digits(const DataSpec&, const ReadContext& context) {
  RawData data;
  data.unit = kWhitest;
  if (context.purpose == Purposes::train) {
    data.train = make_part(Part::train);
    data.test = make_part(Part::test);
  } else {
    data.train = make_part(Part::test);
  }
  data.class_names = data.train.labels.names;
  data.schema.columns = kPixels;
  check_columns(data.train, context);
  data.label_note = "labels: digits; every fifth sample is the test part";
  return data;
}

}  // namespace lockstep
