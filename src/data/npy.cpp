// NPY, NumPy's array files (numpy.lib.format, versions 1 to 3).
//
// Little-endian float32 and uint8 in C order can be used where they lie; all else is converted.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cstring>

#include "data/element.h"
#include "data/failure.h"
#include "data/mapped_file.h"
#include "data/memory.h"
#include "data/npy_header.h"
#include "data/reader.h"

namespace lockstep {
namespace {

constexpr size_t kReleaseStep = size_t{1} << 24;

struct NpyFile {
  std::shared_ptr<MappedFile> file;
  NpyHeader header;

  int64_t rows() const { return header.shape[0]; }
  int64_t columns() const {
    int64_t product = 1;
    for (size_t i = 1; i < header.shape.size(); ++i) product *= header.shape[i];
    return product;
  }
  const std::byte* data() const { return file->bytes().data() + header.offset; }
};

NpyFile open_npy(const std::string& path, size_t most_dimensions) {
  NpyFile npy{MappedFile::open(path), {}};
  npy.header = parse_npy_header(*npy.file);
  const auto& shape = npy.header.shape;
  if (shape.empty() || shape.size() > most_dimensions) {
    fail_at(path, "header",
            fmt::format("shape ({}), expected 1 to {} dimensions", fmt::join(shape, ", "),
                        most_dimensions));
  }
  if (std::find(shape.begin(), shape.end(), 0) != shape.end()) {
    fail_at(path, "header", fmt::format("shape ({}) holds nothing", fmt::join(shape, ", ")));
  }
  double claimed = static_cast<double>(npy.header.format.size());
  for (int64_t size : shape) claimed *= static_cast<double>(size);
  const auto held = static_cast<double>(npy.file->size() - npy.header.offset);
  if (claimed != held) {
    fail_at(path, "header",
            fmt::format("shape ({}) needs {:.0f} bytes, the file holds {:.0f} after its header",
                        fmt::join(shape, ", "), claimed, held),
            claimed > held ? "the file is truncated or its header damaged: save it again"
                           : "more bytes follow than belong to the array: save it again");
  }
  return npy;
}

[[noreturn]] void fail_not_finite(const NpyFile& npy, int64_t row, int64_t column) {
  fail_at(npy.file->path(), fmt::format("row {}, column {}", row + 1, column + 1),
          "expected a finite number that float32 can hold",
          "rows and columns count from 1; fill in or drop the missing values");
}

// Row by row from C order, in blocks of rows from Fortran order so that both sides stay in cache.
void convert(const NpyFile& npy, float* out) {
  const int64_t rows = npy.rows(), columns = npy.columns();
  const size_t size = npy.header.format.size();
  if (!npy.header.fortran_order) {
    size_t released = 0;
    for (int64_t row = 0; row < rows; ++row) {
      const size_t offset = static_cast<size_t>(row) * columns * size;
      const std::span<float> target(out + row * columns, columns);
      if (const auto bad = to_float(npy.header.format, npy.data() + offset, target)) {
        fail_not_finite(npy, row, static_cast<int64_t>(*bad));
      }
      if (offset - released < kReleaseStep) continue;
      npy.file->release_before(npy.header.offset + offset);
      released = offset;
    }
    return;
  }
  constexpr int64_t kBlock = 64;
  float column_block[kBlock];
  for (int64_t first = 0; first < rows; first += kBlock) {
    const int64_t count = std::min(kBlock, rows - first);
    for (int64_t column = 0; column < columns; ++column) {
      const std::byte* from = npy.data() + (column * rows + first) * size;
      const auto bad = to_float(npy.header.format, from, std::span(column_block, count));
      if (bad) fail_not_finite(npy, first + static_cast<int64_t>(*bad), column);
      for (int64_t i = 0; i < count; ++i) out[(first + i) * columns + column] = column_block[i];
    }
  }
}

void transpose_bytes(const NpyFile& npy, std::byte* out) {
  const int64_t rows = npy.rows(), columns = npy.columns();
  constexpr int64_t kBlock = 64;
  for (int64_t first = 0; first < rows; first += kBlock) {
    const int64_t last = std::min(rows, first + kBlock);
    for (int64_t column = 0; column < columns; ++column) {
      const std::byte* from = npy.data() + column * rows;
      for (int64_t row = first; row < last; ++row) out[row * columns + column] = from[row];
    }
  }
}

void check_finite(const NpyFile& npy) {
  std::vector<float> scratch(size_t{1} << 14);
  const auto count = static_cast<size_t>(npy.rows() * npy.columns());
  for (size_t begin = 0; begin < count; begin += scratch.size()) {
    const std::span part(scratch.data(), std::min(scratch.size(), count - begin));
    const std::byte* from = npy.data() + begin * sizeof(float);
    if (const auto bad = to_float(npy.header.format, from, part)) {
      const auto at = static_cast<int64_t>(begin + *bad);
      fail_not_finite(npy, at / npy.columns(), at % npy.columns());
    }
    if (begin * sizeof(float) % kReleaseStep == 0) {
      npy.file->release_before(npy.header.offset + begin * sizeof(float));
    }
  }
}

// Dimensions beyond the first are flattened; NumPy's Fortran order of more than two would not be a
// transposition.
std::optional<ImageShape> image_shape(const NpyFile& npy) {
  const auto& s = npy.header.shape;
  if (s.size() > 2 && npy.header.fortran_order) {
    fail_at(npy.file->path(), "header", "Fortran order with more than two dimensions",
            "save it in C order: numpy.ascontiguousarray");
  }
  if (s.size() == 3) return ImageShape{1, s[1], s[2]};
  if (s.size() == 4) return ImageShape{s[1], s[2], s[3]};
  return std::nullopt;
}

RawPart read_features(const std::string& path, const ReadContext& context) {
  const NpyFile npy = open_npy(path, 4);
  const ElementFormat format = npy.header.format;
  const FeatureType type =
      format.type == ElementType::u1 ? FeatureType::uint8 : FeatureType::float32;
  const bool native = type == FeatureType::uint8 || format.is_native_float();
  const bool aligned = npy.header.offset % bytes_of(type) == 0;
  RawPart part{path, {}, nullptr, {}, image_shape(npy)};
  if (native && aligned && !npy.header.fortran_order && npy.file->size() > context.map_above) {
    if (type == FeatureType::float32) check_finite(npy);
    part.features = mapped_features(npy.file, npy.header.offset, type, npy.rows(), npy.columns());
    part.mapped = npy.file;
  } else {
    const OwnedFeatures features = allocate_features(path, type, npy.rows(), npy.columns());
    if (type == FeatureType::float32) {
      convert(npy, reinterpret_cast<float*>(features.data));
    } else if (npy.header.fortran_order) {
      transpose_bytes(npy, features.data);
    } else {
      std::memcpy(features.data, npy.data(), features.matrix.bytes());
    }
    part.features = features.matrix;
  }
  check_columns(part, context);
  return part;
}

RawLabels read_labels(const std::string& path, const RawPart& features,
                      const ReadContext& context) {
  const NpyFile npy = open_npy(path, 2);
  if (npy.columns() != 1) {
    fail_at(path, "header", fmt::format("{} columns, expected one label a row", npy.columns()),
            "give class numbers, not one-hot rows: numpy.argmax(y, axis=1)");
  }
  if (npy.rows() != features.features.rows) {
    fail_at(path, "header",
            fmt::format("{} labels, expected {} as there are rows in {}", npy.rows(),
                        features.features.rows, features.path),
            "give the labels that belong to the features");
  }
  LabelEncoder encoder(path, context.unknown_labels());
  to_labels(npy.header.format, npy.data(), npy.rows(), encoder);
  return encoder.take();
}

}  // namespace

RawData read_npy(const DataSpec& spec, const ReadContext& context) {
  RawData data;
  data.train = read_features(spec.paths[0], context);
  if (spec.paths.size() > 1) {
    data.train.labels = read_labels(spec.paths[1], data.train, context);
    data.label_note = "labels: " + spec.paths[1];
  } else {
    data.label_note = "labels: none";
  }
  data.schema.columns = data.train.features.columns;
  return data;
}

}  // namespace lockstep
