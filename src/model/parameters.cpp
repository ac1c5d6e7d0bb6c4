#include "lockstep/parameters.h"

#include <openssl/evp.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <functional>
#include <memory>
#include <numeric>

#include "lockstep/error.h"
#include "lockstep/rng.h"

namespace lockstep {

Range slice_of(Range range, int rank, int world_size) {
  if (range.empty()) return {range.begin, range.begin};
  const size_t first = range.begin / kPadFloats;
  const size_t blocks = (range.end + kPadFloats - 1) / kPadFloats - first;
  const auto cut = [&](int r) {
    const size_t block = first + blocks * static_cast<size_t>(r) / static_cast<size_t>(world_size);
    return std::clamp(block * kPadFloats, range.begin, range.end);
  };
  return {cut(rank), cut(rank + 1)};
}

ParameterLayout::ParameterLayout(const Model& model, FirstWeight first) {
  for (size_t i = 0; i < model.layers.size(); ++i) {
    const std::vector<int64_t> weight = weight_shape(model.layers[i]);
    if (weight.empty()) continue;
    const auto append = [&](const char* suffix, std::vector<int64_t> shape) {
      const int64_t size =
          std::accumulate(shape.begin(), shape.end(), int64_t{1}, std::multiplies<>());
      tensors_.push_back({.name = "layers." + std::to_string(i) + suffix,
                          .layer = static_cast<int>(i),
                          .shape = std::move(shape),
                          .offset = size_,
                          .size = static_cast<size_t>(size)});
      size_ += padded(static_cast<size_t>(size));
      count_ += static_cast<size_t>(size);
    };
    append(".weight", weight);
    append(".bias", {weight[0]});
  }
  if (!tensors_.empty() && tensors_.front().shape.size() == 2)
    tensors_.front().transposed = first == FirstWeight::inputs_first;
}

const TensorSpec& ParameterLayout::weight(int layer) const {
  const auto found = std::find_if(tensors_.begin(), tensors_.end(),
                                  [&](const TensorSpec& tensor) { return tensor.layer == layer; });
  if (found == tensors_.end()) {
    throw Error(ErrorKind::runtime, "layer " + std::to_string(layer) + " has no parameters");
  }
  return *found;
}

const TensorSpec& ParameterLayout::bias(int layer) const {
  return *(&weight(layer) + 1);  // a layer's bias follows its weight
}

namespace {

// to [columns, rows] = the transpose of from [rows, columns].
void transpose(const float* from, int64_t rows, int64_t columns, float* to) {
  constexpr int64_t kBlock = 16;  // columns whose cache lines stay while the rows pass
  for (int64_t first = 0; first < columns; first += kBlock) {
    const int64_t last = std::min(first + kBlock, columns);
    for (int64_t i = 0; i < rows; ++i) {
      for (int64_t j = first; j < last; ++j) to[j * rows + i] = from[i * columns + j];
    }
  }
}

// Row `unit` of a weight matrix: uniform in [-bound, bound). A draw's top 24 bits, moved to
// [-2^23, 2^23), are exact in a float; scaling by a power of two is exact and the product with the
// bound is rounded once, so no machine can differ.
void initialize_row(const RandomStream& stream, int64_t unit, float bound, std::span<float> row) {
  const auto value = [bound](uint32_t bits) {
    const int32_t centred = static_cast<int32_t>(bits >> 8) - (1 << 23);
    return static_cast<float>(centred) * 0x1p-23f * bound;
  };
  for (size_t i = 0; i < row.size(); i += 4) {
    const Philox4 words = stream.draw(static_cast<uint64_t>(unit), static_cast<uint32_t>(i / 4));
    const float four[4] = {value(words.x), value(words.y), value(words.z), value(words.w)};
    std::copy_n(four, std::min<size_t>(4, row.size() - i), row.data() + i);
  }
}

}  // namespace

void to_logical(const ParameterLayout& layout, std::span<const float> stored,
                std::span<float> logical) {
  std::copy(stored.begin(), stored.end(), logical.begin());
  for (size_t first = 0; first < stored.size(); first += layout.size()) {
    for (const TensorSpec& tensor : layout.tensors()) {
      if (!tensor.transposed) continue;
      const size_t at = first + tensor.offset;
      transpose(stored.data() + at, tensor.shape[1], tensor.shape[0], logical.data() + at);
    }
  }
}

void from_logical(const ParameterLayout& layout, std::span<const float> logical,
                  std::span<float> stored) {
  std::copy(logical.begin(), logical.end(), stored.begin());
  for (size_t first = 0; first < stored.size(); first += layout.size()) {
    for (const TensorSpec& tensor : layout.tensors()) {
      if (!tensor.transposed) continue;
      const size_t at = first + tensor.offset;
      transpose(logical.data() + at, tensor.shape[0], tensor.shape[1], stored.data() + at);
    }
  }
}

void initialize(const Model& model, const ParameterLayout& layout, uint64_t seed,
                std::span<float> values) {
  std::fill(values.begin(), values.end(), 0.0f);
  if (model.layers.size() == 1) return;  // convex: zeros are as good as any start
  for (const TensorSpec& tensor : layout.tensors()) {
    if (tensor.shape.size() < 2) continue;  // biases stay zero
    const bool relu = activation_of(model.layers[tensor.layer]) == Activation::relu;
    const double gain = relu ? 6.0 : 3.0;
    const int64_t outputs = tensor.shape[0];
    const int64_t inputs = static_cast<int64_t>(tensor.size) / outputs;
    const auto bound = static_cast<float>(std::sqrt(gain / static_cast<double>(inputs)));
    const RandomStream stream{seed, Purpose::init_weights, static_cast<uint8_t>(tensor.layer), 0};
    for (int64_t unit = 0; unit < outputs; ++unit) {
      initialize_row(stream, unit, bound, values.subspan(tensor.offset + unit * inputs, inputs));
    }
  }
}

std::string sha256_of(const ParameterLayout& layout, std::span<const float> values) {
  static_assert(std::endian::native == std::endian::little, "hashes cover little-endian floats");
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(),
                                                                        &EVP_MD_CTX_free);
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int length = 0;
  bool ok = context && EVP_DigestInit_ex(context.get(), EVP_sha256(), nullptr) == 1;
  for (const TensorSpec& tensor : layout.tensors()) {
    const auto part = values.subspan(tensor.offset, tensor.size);
    ok = ok && EVP_DigestUpdate(context.get(), part.data(), part.size_bytes()) == 1;
  }
  ok = ok && EVP_DigestFinal_ex(context.get(), digest, &length) == 1;
  if (!ok) throw Error(ErrorKind::runtime, "libcrypto could not compute a SHA-256 digest");

  constexpr char kHex[] = "0123456789abcdef";
  std::string text;
  for (unsigned int i = 0; i < length; ++i) {
    text += kHex[digest[i] >> 4];
    text += kHex[digest[i] & 15];
  }
  return text;
}

}  // namespace lockstep
