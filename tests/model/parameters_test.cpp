#include "lockstep/parameters.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <vector>

#include "lockstep/error.h"

namespace lockstep {
namespace {

TEST(ParameterLayout, LaysLayersOutInForwardOrderPaddedTo128Bytes) {
  const ParameterLayout layout(make_mlp(5, {3}, 2, 0.5));
  ASSERT_EQ(layout.tensors().size(), 4u);
  EXPECT_EQ(layout.tensors()[0].name, "layers.0.weight");
  EXPECT_EQ(layout.tensors()[1].name, "layers.0.bias");
  EXPECT_EQ(layout.tensors()[2].name, "layers.2.weight");  // layer 1 is the dropout
  EXPECT_EQ(layout.tensors()[3].name, "layers.2.bias");
  EXPECT_EQ(layout.tensors()[0].shape, (std::vector<int64_t>{3, 5}));
  EXPECT_EQ(layout.tensors()[1].shape, (std::vector<int64_t>{3}));
  size_t expected = 0;
  for (const TensorSpec& tensor : layout.tensors()) {
    EXPECT_EQ(tensor.offset, expected);
    EXPECT_EQ(tensor.range().end % kPadFloats, 0u);
    expected = tensor.range().end;
  }
  EXPECT_EQ(layout.size(), expected);
  EXPECT_EQ(layout.size(), 4 * 32u);
  EXPECT_EQ(layout.count(), 15u + 3 + 6 + 2);
}

TEST(ParameterLayout, FindsWeightAndBiasByLayer) {
  const ParameterLayout layout(make_mlp(5, {3}, 2, 0.5));
  EXPECT_EQ(layout.weight(2).name, "layers.2.weight");
  EXPECT_EQ(layout.bias(2).name, "layers.2.bias");
  EXPECT_THROW(layout.weight(1), Error);
}

TEST(ParameterLayout, CountsAsTheModelDoes) {
  const Model model = make_mlp(784, {512, 256, 128}, 10, 0.2);
  EXPECT_EQ(ParameterLayout(model).count(), static_cast<size_t>(model.parameter_count()));
}

TEST(ParameterLayout, StoresTheFirstWeightTransposedWhereAsked) {
  const Model model = make_mlp(5, {3}, 2, 0.5);
  const ParameterLayout plain(model), layout(model, FirstWeight::inputs_first);
  EXPECT_EQ(layout.weight(0).rows(), 5);
  EXPECT_EQ(layout.weight(0).columns(), 3);
  EXPECT_EQ(layout.weight(2).rows(), 2);
  ASSERT_EQ(layout.size(), plain.size());
  std::vector<float> logical(2 * layout.size()), stored(logical.size()), back(logical.size());
  for (size_t i = 0; i < logical.size(); ++i) logical[i] = static_cast<float>(i);
  from_logical(layout, logical, stored);
  for (const size_t buffer : {size_t{0}, layout.size()}) {
    for (size_t o = 0; o < 3; ++o) {
      for (size_t k = 0; k < 5; ++k) {
        EXPECT_EQ(stored[buffer + k * 3 + o], logical[buffer + o * 5 + k]);
      }
    }
    for (size_t i = 15; i < layout.size(); ++i) EXPECT_EQ(stored[buffer + i], logical[buffer + i]);
  }
  to_logical(layout, stored, back);
  EXPECT_EQ(back, logical);
}

TEST(SliceOf, CoversTheRangeOnceWithAlignedCuts) {
  for (const Range range : {Range{0, 0}, Range{0, 32}, Range{32, 320}, Range{96, 64 * 1024},
                            Range{40, 1000}, Range{33, 50}}) {
    for (const int world : {1, 2, 3, 7, 64}) {
      size_t position = range.begin;
      for (int rank = 0; rank < world; ++rank) {
        const Range slice = slice_of(range, rank, world);
        EXPECT_EQ(slice.begin, position);
        EXPECT_LE(slice.begin, slice.end);
        if (slice.begin != range.begin && slice.begin != range.end) {
          EXPECT_EQ(slice.begin % kPadFloats, 0u);
        }
        position = slice.end;
      }
      EXPECT_EQ(position, range.end);
    }
  }
}

TEST(SliceOf, SpreadsBlocksEvenly) {
  const Range range{64, 64 + 32 * 100};
  for (int rank = 0; rank < 7; ++rank) {
    const size_t blocks = slice_of(range, rank, 7).size() / 32;
    EXPECT_GE(blocks, 14u);
    EXPECT_LE(blocks, 15u);
  }
}

struct Initialized {
  Model model;
  ParameterLayout layout;
  std::vector<float> values;
  Initialized(Model m, uint64_t seed) : model(std::move(m)), layout(model), values(layout.size()) {
    std::fill(values.begin(), values.end(), 7.0f);
    initialize(model, layout, seed, values);
  }
  std::string sha256() const { return sha256_of(layout, values); }
};

TEST(Initialize, LogisticRegressionStartsFromZeros) {
  const Initialized start(make_logistic(20, 3), 5);
  EXPECT_TRUE(std::all_of(start.values.begin(), start.values.end(),
                          [](float value) { return value == 0.0f; }));
}

TEST(Initialize, WeightsFillTheirBoundAndEverythingElseIsZero) {
  const Initialized start(make_mlp(100, {200}, 10, 0.5), 3);
  std::vector<bool> is_weight(start.layout.size(), false);
  for (const int layer : {0, 2}) {
    const TensorSpec& weight = start.layout.weight(layer);
    const double bound = layer == 0 ? std::sqrt(6.0 / 100) : std::sqrt(3.0 / 200);
    double sum = 0.0, squares = 0.0, largest = 0.0;
    for (size_t i = weight.offset; i < weight.offset + weight.size; ++i) {
      is_weight[i] = true;
      sum += start.values[i];
      squares += double{start.values[i]} * start.values[i];
      largest = std::max(largest, std::abs(double{start.values[i]}));
    }
    const double n = static_cast<double>(weight.size);
    EXPECT_LE(largest, bound * (1.0 + 1e-6));
    EXPECT_GT(largest, bound * 0.995);
    EXPECT_NEAR(sum / n, 0.0, 4.0 * bound / std::sqrt(3.0 * n));
    EXPECT_NEAR(squares / n, bound * bound / 3.0, 0.05 * bound * bound / 3.0);
  }
  for (size_t i = 0; i < is_weight.size(); ++i) {
    EXPECT_TRUE(is_weight[i] || start.values[i] == 0.0f) << i;
  }
}

TEST(Initialize, DependsOnEveryPartOfTheKey) {
  const Initialized a(make_mlp(8, {8, 8}, 2, 0.0), 1);
  const Initialized b(make_mlp(8, {8, 8}, 2, 0.0), 2);
  EXPECT_NE(a.sha256(), b.sha256());
  EXPECT_EQ(a.sha256(), Initialized(make_mlp(8, {8, 8}, 2, 0.0), 1).sha256());
  const size_t first = a.layout.weight(0).offset, second = a.layout.weight(1).offset;
  std::set<float> distinct;
  for (size_t i = 0; i < 64; ++i) {
    distinct.insert(a.values[first + i]);
    distinct.insert(a.values[second + i]);
    distinct.insert(b.values[first + i]);
  }
  EXPECT_EQ(distinct.size(), 3u * 64);
}

// The expected values come from a separate implementation of the documented rule in Python.
TEST(Initialize, GivesTheGoldenWeights) {
  const Initialized start(make_mlp(6, {4}, 3, 0.25), 42);
  const float* first = start.values.data() + start.layout.weight(0).offset;
  EXPECT_EQ(first[0], 0x1.7907dp-3f);
  EXPECT_EQ(first[1], 0x1.b2ea5p-1f);
  EXPECT_EQ(first[6], -0x1.dcad5p-1f);
  EXPECT_EQ(start.values[start.layout.weight(2).offset], -0x1.e7a612p-2f);
  EXPECT_EQ(start.sha256(), "cda8eab86674263011a808484bfcbc3530630017baf5778f931b94ab9550a0b8");
  EXPECT_EQ(Initialized(make_mlp(784, {256, 128}, 10, 0.0), 1).sha256(),
            "a50016192361b566b699b9233fd9f8e13e5863311243caa8abe89681a70f68d7");
}

TEST(Sha256, CoversTheUnpaddedValuesOnly) {
  // printf '\0\0\200\77\0\0\0\100' | sha256sum: the bytes of 1.0f (weight) and 2.0f (bias).
  const Model model = make_logistic(1, 2);
  const ParameterLayout layout(model);
  std::vector<float> values(layout.size());
  values[layout.weight(0).offset] = 1.0f;
  values[layout.bias(0).offset] = 2.0f;
  const std::string expected = sha256_of(layout, values);
  EXPECT_EQ(expected, "b9c80b5adeca450753a16950c3cc655d271f7bef7a485bc83f112b72fef21d37");
  values[layout.weight(0).offset + 1] = 9.0f;  // padding
  EXPECT_EQ(sha256_of(layout, values), expected);
}

}  // namespace
}  // namespace lockstep
