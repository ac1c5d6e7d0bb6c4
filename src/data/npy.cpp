// NPY, NumPy's array files (numpy.lib.format, versions 1 to 3).
//
// Little-endian float32 and uint8 in C order can be used where they lie; all else is converted.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "data/element.h"
#include "data/failure.h"
#include "data/mapped_file.h"
#include "data/npy_header.h"
#include "data/reader.h"

namespace lockstep {
namespace {

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
                        most_dimensions),
            "reshape it: features [rows, columns], labels [rows]");
  }
  if (std::find(shape.begin(), shape.end(), 0) != shape.end()) {
    fail_at(path, "header", fmt::format("shape ({}) holds nothing", fmt::join(shape, ", ")),
            "save an array with rows and columns");
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

std::optional<size_t> read_elements(ElementFormat format, const std::byte* from,
                                    std::span<float> out) {
  return to_float(format, from, out);
}

std::optional<size_t> read_elements(ElementFormat, const std::byte* from, std::span<uint8_t> out) {
  std::memcpy(out.data(), from, out.size());
  return std::nullopt;
}

// C order, row by row.
template <class T>
void read_rows(const NpyFile& npy, T* out) {
  const size_t row_bytes = npy.columns() * npy.header.format.size();
  PassedPages pages(*npy.file);
  for (int64_t row = 0; row < npy.rows(); ++row) {
    const std::span<T> target(out + row * npy.columns(), npy.columns());
    const auto bad = read_elements(npy.header.format, npy.data() + row * row_bytes, target);
    if (bad) fail_not_finite(npy, row, static_cast<int64_t>(*bad));
    pages.passed(npy.header.offset + row * row_bytes);
  }
}

// Fortran order, in blocks of rows that stay in cache on both sides.
template <class T>
void read_columns(const NpyFile& npy, T* out) {
  constexpr int64_t kBlock = 64;
  const int64_t rows = npy.rows(), columns = npy.columns();
  const size_t size = npy.header.format.size();
  std::array<T, kBlock> block;
  size_t resident = 0;
  for (int64_t first = 0; first < rows; first += kBlock) {
    const int64_t count = std::min(kBlock, rows - first);
    for (int64_t column = 0; column < columns; ++column) {
      const std::byte* from = npy.data() + (column * rows + first) * size;
      const auto bad = read_elements(npy.header.format, from, std::span(block).first(count));
      if (bad) fail_not_finite(npy, first + static_cast<int64_t>(*bad), column);
      for (int64_t i = 0; i < count; ++i) out[(first + i) * columns + column] = block[i];
    }
    // The pages in use are spread over the whole file: now and then all are given back.
    resident += count * columns * size;
    if (resident < PassedPages::kStep) continue;
    npy.file->release_before(npy.file->size());
    resident = 0;
  }
}

template <class T>
void read_all(const NpyFile& npy, T* out) {
  if (npy.header.fortran_order) {
    read_columns(npy, out);
  } else {
    read_rows(npy, out);
  }
}

void check_finite(const NpyFile& npy) {
  std::vector<float> scratch(size_t{1} << 14);
  PassedPages pages(*npy.file);
  const auto count = static_cast<size_t>(npy.rows() * npy.columns());
  for (size_t begin = 0; begin < count; begin += scratch.size()) {
    const std::span part(scratch.data(), std::min(scratch.size(), count - begin));
    const std::byte* from = npy.data() + begin * sizeof(float);
    if (const auto bad = to_float(npy.header.format, from, part)) {
      const auto at = static_cast<int64_t>(begin + *bad);
      fail_not_finite(npy, at / npy.columns(), at % npy.columns());
    }
    pages.passed(npy.header.offset + begin * sizeof(float));
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
      read_all(npy, reinterpret_cast<float*>(features.data));
    } else {
      read_all(npy, reinterpret_cast<uint8_t*>(features.data));
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
