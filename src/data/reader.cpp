#include "data/reader.h"

#include <fmt/format.h>

#include "data/failure.h"
#include "data/memory.h"
#include "lockstep/buffer.h"

namespace lockstep {

RawData read_data(const DataSpec& spec, const ReadContext& context) {
  switch (spec.format) {
    case DataFormat::synthetic: return read_synthetic(spec, context);
    case DataFormat::digits: return read_digits(spec, context);
    case DataFormat::mnist: return read_mnist(spec, context);
    case DataFormat::cifar10: return read_cifar10(spec, context);
    case DataFormat::idx: return read_idx(spec, context);
    case DataFormat::libsvm: return read_libsvm(spec, context);
    case DataFormat::npy: return read_npy(spec, context);
    case DataFormat::csv: break;
  }
  return read_csv(spec, context);
}

OwnedFeatures allocate_features(const std::string& path, FeatureType type, int64_t rows,
                                int64_t columns) {
  const uint64_t bytes = checked_size(path, rows, columns, bytes_of(type));
  auto buffer = std::make_shared<Buffer<std::byte>>(bytes);
  std::byte* const data = buffer->data();
  return {{type, rows, columns, data, false, std::move(buffer)}, data};
}

FeatureMatrix mapped_features(std::shared_ptr<MappedFile> file, size_t offset, FeatureType type,
                              int64_t rows, int64_t columns) {
  const std::byte* const data = file->bytes().data() + offset;
  return {type, rows, columns, data, true, std::move(file)};
}

void check_columns(const RawPart& part, const ReadContext& context) {
  if (!context.schema || part.features.columns == context.schema->columns) return;
  fail_at(part.path, "",
          fmt::format("has {} features, expected {} as in the training data", part.features.columns,
                      context.schema->columns),
          "give data with the same columns");
}

}  // namespace lockstep
