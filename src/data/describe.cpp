#include <fmt/format.h>

#include "lockstep/data.h"

namespace lockstep {
namespace {

std::vector<int64_t> count_classes(const Split& split, int classes) {
  std::vector<int64_t> counts(classes);
  for (int32_t label : split.labels) ++counts[label];
  return counts;
}

std::string describe(const Normalization& normalization) {
  const size_t entries = normalization.scale.size();
  switch (normalization.kind) {
    case Normalize::none: break;
    case Normalize::unit:
      return fmt::format("unit (x / {:g})", 1.0 / static_cast<double>(normalization.scale[0]));
    case Normalize::standard:
      return entries == 1 ? fmt::format("standard (x * {:g} + {:g})", normalization.scale[0],
                                        normalization.offset[0])
                          : fmt::format("standard ({} features)", entries);
    case Normalize::given:
      return fmt::format("given (x * {:g} + {:g})", normalization.scale[0],
                         normalization.offset[0]);
  }
  return "none";
}

}  // namespace

DataInfo describe(const Dataset& dataset) {
  DataInfo info;
  info.name = dataset.name;
  info.train_rows = dataset.train.size();
  info.features = dataset.features();
  info.feature_type = dataset.train.features.type == FeatureType::uint8 ? "uint8" : "float32";
  info.image = dataset.image;
  info.class_names = dataset.class_names;
  info.train_counts = count_classes(dataset.train, dataset.classes);
  info.sha256 = dataset.sha256;
  info.label_note = dataset.label_note;
  info.normalization = describe(dataset.normalization);
  info.load_seconds = dataset.load_seconds;
  const auto account = [&](const Split& split) {
    (split.features.mapped ? info.mapped_bytes : info.memory_bytes) +=
        static_cast<int64_t>(split.features.bytes());
    info.memory_bytes += static_cast<int64_t>(split.labels.size() * sizeof(int32_t));
  };
  account(dataset.train);
  if (dataset.test) {
    info.test_rows = dataset.test->size();
    info.test_counts = count_classes(*dataset.test, dataset.classes);
    account(*dataset.test);
  }
  return info;
}

}  // namespace lockstep
