#include "backend/sparse_product.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "backend/fixtures.h"
#include "backend/panel_fixtures.h"
#include "backend/panel_ops.h"
#include "backend/simd_targets.h"
#include "backend/sparse_layer.h"

namespace lockstep {
namespace {

using testing::for_each_target;
using testing::kGuard;
using testing::normals;
using testing::PanelArray;
using testing::RowArray;

// Random rows with `density` of them not zero, in runs like a scanned digit's; what lies beyond
// rows and columns is never zero.
RowArray sparse_rows(int64_t rows, int64_t columns, double density, uint32_t seed) {
  RowArray array(rows, columns, spread_stride(columns), seed);
  std::mt19937 generator(seed);
  std::bernoulli_distribution keeps(density), changes(0.2);
  for (int64_t i = 0; i < rows; ++i) {
    bool kept = keeps(generator);
    for (int64_t j = 0; j < columns; ++j) {
      if (changes(generator)) kept = keeps(generator);
      if (!kept) array.view().row(i)[j] = 0.0f;
    }
  }
  return array;
}

// The chain that the header promises, from `start`, with and without fused multiply-adds.
struct Chains {
  float fused, unfused;
  explicit Chains(float start) : fused(start), unfused(start) {}
  void add(float a, float b) {
    fused = std::fma(a, b, fused);
    const float product = a * b;
    unfused += product;
  }
};

// All elements are those of one kind of chain, zeros counted equal.
class ChainsSeen {
 public:
  void see(float actual, const Chains& expected) {
    fused_ = fused_ && actual == expected.fused;
    unfused_ = unfused_ && actual == expected.unfused;
  }
  void expect_one_kind() const { EXPECT_TRUE(fused_ || unfused_); }

 private:
  bool fused_ = true, unfused_ = true;
};

const std::vector<int64_t> kRows = {1, 3, 4, 5, 8, 13};
const std::vector<int64_t> kTerms = {1, 7, 16, 17, 63, 64, 65, 130};
const std::vector<int64_t> kColumns = {1, 2, 15, 16, 17, 48, 61, 97, 113};

TEST(SparseProduct, RowsTimesAMatrixAreTheDenseChains) {
  for (const double density : {0.0, 0.2, 1.0}) {
    for (const int64_t rows : kRows) {
      for (const int64_t terms : kTerms) {
        const RowArray a = sparse_rows(rows, terms, density, 1);
        for (const int64_t columns : kColumns) {
          const std::vector<float> b = normals(terms * columns + 16, 2);
          const std::vector<float> start = normals(columns + 16, 3);
          for_each_target([&] {
            SparseQuads list(rows, terms);
            list_rows(a.view(), list);
            const int64_t stride = columns + 3;
            std::vector<float> out(rows * stride + 64, kGuard);
            sparse_product(list, {b.data(), columns, columns, SumStart::vector, start.data(),
                                  out.data(), stride});
            ChainsSeen seen;
            for (int64_t i = 0; i < rows; ++i) {
              for (int64_t j = 0; j < columns; ++j) {
                Chains chain(start[j]);
                for (int64_t k = 0; k < terms; ++k) chain.add(a.at(i, k), b[k * columns + j]);
                seen.see(out[i * stride + j], chain);
                out[i * stride + j] = kGuard;
              }
            }
            seen.expect_one_kind();
            for (const float value : out) ASSERT_EQ(value, kGuard) << "wrote beside its elements";
          });
        }
      }
    }
  }
}

TEST(SparseProduct, ColumnsTimesAMatrixContinueAChain) {
  for (const int64_t samples : {1, 15, 16, 64, 65, 129}) {
    for (const int64_t inputs : {1, 4, 6, 37}) {
      const RowArray x = sparse_rows(samples, inputs, 0.3, 4);
      for (const int64_t outputs : {1, 16, 61}) {
        const RowArray dy(samples, outputs, spread_stride(outputs), 5);
        for (const int64_t first : {int64_t{0}, inputs / 2}) {
          const int64_t count = inputs - first;
          const std::vector<float> start = normals(count * outputs, 6);
          for_each_target([&] {
            SparseQuads list(count, samples);
            list_columns(x.view(), first, count, list);
            std::vector<float> out = start;
            out.resize(start.size() + 32, kGuard);
            sparse_product(list, {dy.view().data, dy.stride, outputs, SumStart::out, nullptr,
                                  out.data(), outputs});
            ChainsSeen seen;
            for (int64_t k = 0; k < count; ++k) {
              for (int64_t j = 0; j < outputs; ++j) {
                Chains chain(start[k * outputs + j]);
                for (int64_t i = 0; i < samples; ++i) chain.add(x.at(i, first + k), dy.at(i, j));
                seen.see(out[k * outputs + j], chain);
              }
            }
            seen.expect_one_kind();
            for (size_t i = start.size(); i < out.size(); ++i) ASSERT_EQ(out[i], kGuard);
          });
        }
      }
    }
  }
}

TEST(SparseProduct, NotANumberIsNotZero) {
  RowArray a = sparse_rows(4, 20, 0.0, 1);
  a.view().row(2)[11] = std::nanf("");
  const std::vector<float> b = normals(20 * 5 + 16, 2);
  for_each_target([&] {
    SparseQuads list(4, 20);
    list_rows(a.view(), list);
    std::vector<float> out(4 * 5, kGuard);
    sparse_product(list, {b.data(), 5, 5, SumStart::zero, nullptr, out.data(), 5});
    EXPECT_TRUE(std::isnan(out[2 * 5]));
    EXPECT_EQ(out[0], 0.0f);
  });
}

// Shares as workers hold them, one of them empty, one longer than what is listed at a time.
class SparseLayerShares : public ::testing::Test {
 protected:
  static constexpr int64_t kInputs = 37, kOutputs = 29;

  SparseLayerShares() {
    uint32_t seed = 10;
    for (const int64_t samples : {16, 0, 600, 33}) {
      x_.push_back(sparse_rows(samples, kInputs, 0.2, seed++));
      dy_.emplace_back(samples, kOutputs, spread_stride(kOutputs), seed++);
    }
    for (size_t i = 0; i < x_.size(); ++i) shares_.push_back({{}, x_[i].view(), dy_[i].view()});
  }

  // Element [k, o] over share `i`, from `sum` on.
  void add_share(Chains& sum, size_t i, int64_t k, int64_t o) const {
    for (int64_t s = 0; s < x_[i].rows; ++s) sum.add(x_[i].at(s, k), dy_[i].at(s, o));
  }

  template <class Expected>
  void expect_gradient(ShareSum sum, const Expected& expected) {
    for_each_target([&] {
      SparseLayer layer(kInputs, kOutputs, 32, kInputs);
      std::vector<float> dw(kInputs * kOutputs + 32, kGuard);
      layer.weight_gradient(shares_, {0, 12}, sum, dw.data());
      layer.weight_gradient(shares_, {12, kInputs}, sum, dw.data() + 12 * kOutputs);
      ChainsSeen seen;
      for (int64_t k = 0; k < kInputs; ++k) {
        for (int64_t o = 0; o < kOutputs; ++o) seen.see(dw[k * kOutputs + o], expected(k, o));
      }
      seen.expect_one_kind();
      for (int64_t i = kInputs * kOutputs; i < kInputs * kOutputs + 32; ++i) {
        ASSERT_EQ(dw[i], kGuard);
      }
    });
  }

  std::vector<RowArray> x_, dy_;
  std::vector<LayerFactors> shares_;
};

TEST_F(SparseLayerShares, InOneChain) {
  expect_gradient(ShareSum::chain, [&](int64_t k, int64_t o) {
    Chains sum(0.0f);
    for (size_t i = 0; i < x_.size(); ++i) add_share(sum, i, k, o);
    return sum;
  });
}

TEST_F(SparseLayerShares, FoldedAreCompleteGradientsAddedLeftToRight) {
  expect_gradient(ShareSum::fold, [&](int64_t k, int64_t o) {
    Chains sum(0.0f);
    for (size_t i = 0; i < x_.size(); ++i) {
      Chains share(0.0f);
      add_share(share, i, k, o);
      sum.fused = i == 0 ? share.fused : sum.fused + share.fused;
      sum.unfused = i == 0 ? share.unfused : sum.unfused + share.unfused;
    }
    return sum;
  });
}

TEST(SparseLayer, ForwardHasTheValuesOfTheDenseLayer) {
  const int64_t samples = 45, inputs = 61, outputs = 23;
  const RowArray x = sparse_rows(samples, inputs, 0.3, 1);
  const std::vector<float> weight = normals(outputs * inputs, 2), bias = normals(outputs + 16, 3);
  std::vector<float> transposed(inputs * outputs + 16);
  for (int64_t o = 0; o < outputs; ++o) {
    for (int64_t k = 0; k < inputs; ++k) transposed[k * outputs + o] = weight[o * inputs + k];
  }
  for_each_target([&] {
    PanelArray panels(samples, inputs, 4), dense(samples, outputs, 5);
    rows_to_panels(x.view(), panels.view());
    panel_forward({weight.data(), bias.data(), outputs, inputs}, panels.view(), dense.view());
    SparseLayer layer(inputs, outputs, 64, 4);
    RowArray y(samples, outputs, spread_stride(outputs), 6);
    layer.forward({transposed.data(), bias.data(), outputs, inputs}, x.view(), y.view());
    for (int64_t i = 0; i < samples; ++i) {
      for (int64_t o = 0; o < outputs; ++o) ASSERT_EQ(y.at(i, o), dense.at(i, o)) << i << ", " << o;
    }
  });
}

}  // namespace
}  // namespace lockstep
