// What lies between the readers of the formats and load.cpp, which makes a Dataset of their parts.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "data/digest.h"
#include "data/labels.h"
#include "data/mapped_file.h"
#include "data/spec.h"
#include "lockstep/dataset.h"

namespace lockstep {

// What further files of the same data have to agree with: columns, and how the first was read.
struct Schema {
  int64_t columns = 0;
  std::vector<std::string> column_names;  // features', where the file had a header
  std::optional<std::string> label_name;  // the label column's name, where it had one
  std::optional<int> index_base;          // LIBSVM: the first column's index
};

// Why data is read: decides which part of it, and what its labels may be.
enum class Purposes { train, test, predict };

struct ReadContext {
  uint64_t seed = 1;                   // of synthetic data
  uint64_t map_above = 0;              // plain files larger than this are mapped, bytes
  BackgroundDigest* digest = nullptr;  // takes the training features as they become final
  std::optional<Schema> schema;        // of the data that this has to agree with
  Purposes purpose = Purposes::train;

  UnknownLabels unknown_labels() const {
    return purpose == Purposes::predict ? UnknownLabels::ignored : UnknownLabels::error;
  }
};

// One part as its file holds it.
struct RawPart {
  std::string path;  // for messages
  FeatureMatrix features;
  std::shared_ptr<MappedFile> mapped;  // where the features lie, if not in memory of their own
  RawLabels labels;                    // empty: the data has none
  std::optional<ImageShape> image;
};

// Read for a test or a model, a set that has a test part delivers it alone, as `train`.
struct RawData {
  RawPart train;
  std::optional<RawPart> test;
  std::vector<std::string> class_names;  // where the format fixes them, else empty
  double unit = 255.0;                   // the largest value of uint8 features
  std::string label_note;
  Schema schema;
};

RawData read_synthetic(const DataSpec& spec, const ReadContext& context);
RawData read_digits(const DataSpec& spec, const ReadContext& context);
RawData read_mnist(const DataSpec& spec, const ReadContext& context);
RawData read_cifar10(const DataSpec& spec, const ReadContext& context);
RawData read_idx(const DataSpec& spec, const ReadContext& context);
RawData read_libsvm(const DataSpec& spec, const ReadContext& context);
RawData read_npy(const DataSpec& spec, const ReadContext& context);
RawData read_csv(const DataSpec& spec, const ReadContext& context);

// The reader of the spec's format.
RawData read_data(const DataSpec& spec, const ReadContext& context);

// Features in memory of their own, zero, to be filled through `data`. Error{data} before anything
// is allocated where they would not fit.
struct OwnedFeatures {
  FeatureMatrix matrix;
  std::byte* data = nullptr;
};
OwnedFeatures allocate_features(const std::string& path, FeatureType type, int64_t rows,
                                int64_t columns);

// Features that lie in a mapped file from `offset` on.
FeatureMatrix mapped_features(std::shared_ptr<MappedFile> file, size_t offset, FeatureType type,
                              int64_t rows, int64_t columns);

// Error{data} unless the part has as many columns as the schema in the context, if there is one.
void check_columns(const RawPart& part, const ReadContext& context);

}  // namespace lockstep
