#include "data/idx.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>

#include "data/byte_stream.h"
#include "data/element.h"
#include "data/failure.h"

namespace lockstep {
namespace {

constexpr size_t kChunk = size_t{1} << 20;  // bytes decoded at a time: stays in L2 while hashed

struct IdxHeader {
  ElementFormat format;
  std::vector<int64_t> sizes;
  int64_t rows() const { return sizes[0]; }
  int64_t columns() const {
    int64_t product = 1;
    for (size_t i = 1; i < sizes.size(); ++i) product *= sizes[i];
    return product;
  }
};

ElementFormat element_format(const ByteStream& stream, uint8_t code) {
  switch (code) {
    case 0x08: return {ElementType::u1, ByteOrder::big};
    case 0x09: return {ElementType::i1, ByteOrder::big};
    case 0x0B: return {ElementType::i2, ByteOrder::big};
    case 0x0C: return {ElementType::i4, ByteOrder::big};
    case 0x0D: return {ElementType::f4, ByteOrder::big};
    case 0x0E: return {ElementType::f8, ByteOrder::big};
    default: break;
  }
  fail_at(stream.path(), "byte 2", fmt::format("unknown IDX element type 0x{:02x}", code),
          "expected 08 (uint8), 09, 0b, 0c (integers), 0d or 0e (floating point)");
}

// Nothing is allocated by what the header claims until the file is known to be able to hold it.
IdxHeader read_header(ByteStream& stream) {
  std::array<uint8_t, 4> magic{};
  stream.read(std::as_writable_bytes(std::span(magic)), "IDX magic number");
  if (magic[0] != 0 || magic[1] != 0) {
    fail_at(stream.path(), "byte 0",
            fmt::format("wrong magic number {:02x}, expected IDX (00 00 TYPE DIMENSIONS)",
                        fmt::join(magic, " ")),
            "check that this is an IDX file");
  }
  IdxHeader header{element_format(stream, magic[2]), {}};
  if (magic[3] < 1 || magic[3] > 4) {
    fail_at(stream.path(), "byte 3", fmt::format("{} dimensions, expected 1 to 4", magic[3]),
            "check that this is an IDX file");
  }
  double claimed = static_cast<double>(header.format.size());
  for (int i = 0; i < magic[3]; ++i) {
    std::array<uint8_t, 4> size{};
    stream.read(std::as_writable_bytes(std::span(size)), "IDX sizes");
    header.sizes.push_back(int64_t{size[0]} << 24 | size[1] << 16 | size[2] << 8 | size[3]);
    if (header.sizes.back() == 0) {
      fail_at(stream.path(), fmt::format("byte {}", 4 + 4 * i), "a size is 0, expected at least 1",
              "check that the file holds data: write it again");
    }
    claimed *= static_cast<double>(header.sizes.back());
  }
  const auto possible = static_cast<double>(stream.size_bound() - stream.offset());
  if (claimed > possible) {
    fail_at(stream.path(), "byte 4",
            fmt::format("the header claims {} elements ({}), the file holds at most {}",
                        fmt::join(header.sizes, " x "), readable_bytes(claimed),
                        readable_bytes(possible)),
            "the file is truncated or its header damaged: copy or download it again");
  }
  return header;
}

std::optional<ImageShape> image_shape(const IdxHeader& header) {
  const auto& s = header.sizes;
  if (s.size() == 3) return ImageShape{1, s[1], s[2]};
  if (s.size() == 4) return ImageShape{s[1], s[2], s[3]};
  return std::nullopt;
}

FeatureMatrix read_bytes(ByteStream& stream, const IdxHeader& header, const ReadContext& context) {
  const OwnedFeatures features =
      allocate_features(stream.path(), FeatureType::uint8, header.rows(), header.columns());
  const std::span all(features.data, features.matrix.bytes());
  for (size_t begin = 0; begin < all.size(); begin += kChunk) {
    const auto chunk = all.subspan(begin, std::min(kChunk, all.size() - begin));
    stream.read(chunk, "pixels");
    if (context.digest) context.digest->add(chunk, features.matrix.keep_alive);
  }
  return features.matrix;
}

FeatureMatrix read_numbers(ByteStream& stream, const IdxHeader& header) {
  const OwnedFeatures features =
      allocate_features(stream.path(), FeatureType::float32, header.rows(), header.columns());
  const size_t size = header.format.size();
  const std::span all(reinterpret_cast<float*>(features.data),
                      features.matrix.bytes() / sizeof(float));
  std::vector<std::byte> raw(std::min(kChunk, all.size() * size));
  for (size_t begin = 0; begin < all.size(); begin += raw.size() / size) {
    const auto chunk = all.subspan(begin, std::min(raw.size() / size, all.size() - begin));
    const uint64_t offset = stream.offset();
    stream.read(std::span(raw).first(chunk.size() * size), "features");
    if (const auto bad = to_float(header.format, raw.data(), chunk)) {
      fail_at(stream.path(), fmt::format("byte {}", offset + *bad * size),
              "expected a finite number that float32 can hold",
              "fill in or drop the missing values");
    }
  }
  return features.matrix;
}

}  // namespace

RawPart read_idx_features(const std::string& path, const ReadContext& context) {
  const auto stream = ByteStream::open(path);
  const IdxHeader header = read_header(*stream);
  RawPart part{path, {}, nullptr, {}, image_shape(header)};
  const auto file = stream->plain_file();
  if (header.format.type != ElementType::u1) {
    part.features = read_numbers(*stream, header);
    stream->expect_end();
  } else if (file && file->size() > context.map_above) {
    const size_t offset = stream->offset();
    part.features =
        mapped_features(file, offset, FeatureType::uint8, header.rows(), header.columns());
    if (offset + part.features.bytes() != file->size()) {
      fail_at(path, fmt::format("byte {}", offset + part.features.bytes()),
              "expected the end of the file, more bytes follow",
              "the file or its header is damaged: copy or download it again");
    }
    part.mapped = file;
  } else {
    part.features = read_bytes(*stream, header, context);
    stream->expect_end();
  }
  check_columns(part, context);
  return part;
}

RawLabels read_idx_labels(const std::string& path, const RawPart& features,
                          const ReadContext& context) {
  const auto stream = ByteStream::open(path);
  const IdxHeader header = read_header(*stream);
  if (header.sizes.size() != 1) {
    fail_at(path, "byte 3",
            fmt::format("{} dimensions, expected labels with 1", header.sizes.size()),
            "give the image file first, then the label file");
  }
  if (header.rows() != features.features.rows) {
    fail_at(path, "byte 4",
            fmt::format("{} labels, expected {} as there are images in {}", header.rows(),
                        features.features.rows, features.path),
            "give the label file that belongs to the image file");
  }
  std::vector<std::byte> raw(header.rows() * header.format.size());
  stream->read(raw, "labels");
  stream->expect_end();
  LabelEncoder encoder(path, context.unknown_labels());
  to_labels(header.format, raw.data(), header.rows(), encoder);
  return encoder.take();
}

RawData read_idx(const DataSpec& spec, const ReadContext& context) {
  RawData data;
  data.train = read_idx_features(spec.paths[0], context);
  if (spec.paths.size() > 1) {
    data.train.labels = read_idx_labels(spec.paths[1], data.train, context);
    data.label_note = "labels: " + spec.paths[1];
  } else {
    data.label_note = "labels: none";
  }
  data.schema.columns = data.train.features.columns;
  return data;
}

}  // namespace lockstep
