#include "backend/panel_gemm.h"

#include <gtest/gtest.h>

#include <cmath>
#include <deque>

#include "backend/panel_fixtures.h"
#include "backend/panel_ops.h"
#include "backend/simd_targets.h"

namespace lockstep {
namespace {

using testing::for_each_target;
using testing::kGuard;
using testing::kSampleCounts;
using testing::normals;
using testing::PanelArray;
using testing::RowArray;

constexpr PanelArray::Leftovers kZero = PanelArray::Leftovers::zero;

// What one element must be: the sum in float64 with the error that it may have, and the bits of
// the promised chain with and without fused multiply-adds (instruction sets differ in having them).
struct Expected {
  double sum = 0.0;
  double allowed = 0.0;
  float fused = 0.0f;
  float unfused = 0.0f;
};

template <class Left, class Right>
Expected chain(int64_t terms, float start, const Left& left, const Right& right) {
  Expected e{start, 0.0, start, start};
  double magnitude = std::fabs(start);
  for (int64_t t = 0; t < terms; ++t) {
    const float a = left(t), b = right(t);
    e.sum += static_cast<double>(a) * b;
    magnitude += std::fabs(static_cast<double>(a) * b);
    e.fused = std::fma(a, b, e.fused);
    const float product = a * b;
    e.unfused += product;
  }
  const double u = 0x1p-24;
  e.allowed = 4 * std::sqrt(static_cast<double>(terms)) * u * magnitude + u * std::fabs(e.sum);
  return e;
}

// Every element within its error of float64, and all of one chain.
template <class Value>
void expect_chains(const std::vector<Expected>& expected, const Value& value) {
  bool fused = true, unfused = true;
  for (size_t i = 0; i < expected.size(); ++i) {
    const float actual = value(static_cast<int64_t>(i));
    ASSERT_NEAR(actual, expected[i].sum, expected[i].allowed) << "element " << i;
    fused = fused && actual == expected[i].fused;
    unfused = unfused && actual == expected[i].unfused;
  }
  EXPECT_TRUE(fused || unfused) << "the bits are not those of a chain in the summed index's order";
}

struct Layer {
  Layer(int64_t out, int64_t in)
      : outputs(out), inputs(in), weight(normals(out * in, 1)), bias(normals(out, 2)) {}
  LinearWeights view() const { return {weight.data(), bias.data(), outputs, inputs}; }
  int64_t outputs, inputs;
  std::vector<float> weight, bias;
};

// Units around the heights of tiles (6 and 12) and of blocks of tiles (24 and 48).
const std::vector<int64_t> kUnits = {1, 2, 5, 6, 7, 11, 12, 13, 23, 37, 49};
const std::vector<int64_t> kInputs = {1, 3, 4, 5, 16, 17, 31, 61};

template <class Body>
void for_each_shape(const Body& body) {
  for (const int64_t samples : kSampleCounts) {
    for (const int64_t outputs : kUnits) {
      for (const int64_t inputs : kInputs) {
        SCOPED_TRACE(::testing::Message() << samples << " samples, " << outputs << " x " << inputs);
        body(samples, outputs, inputs);
        if (::testing::Test::HasFatalFailure()) return;
      }
    }
  }
}

TEST(PanelGemm, ForwardIsTheChainOverInputsFromTheBias) {
  for_each_shape([](int64_t samples, int64_t outputs, int64_t inputs) {
    const Layer layer(outputs, inputs);
    const PanelArray x(samples, inputs, 3);
    std::vector<Expected> expected;
    for (int64_t i = 0; i < samples; ++i) {
      for (int64_t o = 0; o < outputs; ++o) {
        expected.push_back(chain(
            inputs, layer.bias[o], [&](int64_t k) { return layer.weight[o * inputs + k]; },
            [&](int64_t k) { return x.at(i, k); }));
      }
    }
    for_each_target([&] {
      PanelArray y(samples, outputs, 4);
      panel_forward(layer.view(), x.view(), y.view());
      expect_chains(expected, [&](int64_t e) { return y.at(e / outputs, e % outputs); });
      y.expect_guards_whole();
    });
  });
}

TEST(PanelGemm, InputGradientIsTheChainOverOutputs) {
  for_each_shape([](int64_t samples, int64_t outputs, int64_t inputs) {
    const Layer layer(outputs, inputs);
    const PanelArray dy(samples, outputs, 5, kZero);
    std::vector<Expected> expected;
    for (int64_t i = 0; i < samples; ++i) {
      for (int64_t k = 0; k < inputs; ++k) {
        expected.push_back(chain(
            outputs, 0.0f, [&](int64_t o) { return layer.weight[o * inputs + k]; },
            [&](int64_t o) { return dy.at(i, o); }));
      }
    }
    for_each_target([&] {
      PanelArray dx(samples, inputs, 6);
      panel_input_gradient(layer.view(), dy.view(), dx.view());
      expect_chains(expected, [&](int64_t e) { return dx.at(e / inputs, e % inputs); });
      dx.expect_guards_whole();
      dx.expect_empty_lanes_zero();
    });
  });
}

// dw over one share.
void weight_gradient(const PanelArray& dy, const RowArray& x, UnitRange units, float* dw) {
  const LayerFactors share{dy.view(), x.view()};
  panel_weight_gradient({&share, 1}, units, ShareSum::chain, dw);
}

TEST(PanelGemm, WeightGradientIsTheChainOverSamples) {
  for_each_shape([](int64_t samples, int64_t outputs, int64_t inputs) {
    const PanelArray dy(samples, outputs, 7);  // leftovers in lanes without a sample count for none
    const RowArray x(samples, inputs, spread_stride(inputs), 8);
    std::vector<Expected> expected;
    for (int64_t o = 0; o < outputs; ++o) {
      for (int64_t k = 0; k < inputs; ++k) {
        expected.push_back(chain(
            samples, 0.0f, [&](int64_t i) { return dy.at(i, o); },
            [&](int64_t i) { return x.at(i, k); }));
      }
    }
    for_each_target([&] {
      std::vector<float> dw(outputs * inputs + 64, kGuard);
      weight_gradient(dy, x, {0, outputs}, dw.data());
      expect_chains(expected, [&](int64_t e) { return dw[e]; });
      for (size_t i = outputs * inputs; i < dw.size(); ++i) ASSERT_EQ(dw[i], kGuard);
    });
  });
}

TEST(PanelGemm, SlabsOfTheWeightGradientHaveTheBitsOfTheWhole) {
  const int64_t samples = 61, outputs = 53, inputs = 37;
  const PanelArray dy(samples, outputs, 7);
  const RowArray x(samples, inputs, spread_stride(inputs), 8);
  for_each_target([&] {
    std::vector<float> whole(outputs * inputs);
    weight_gradient(dy, x, {0, outputs}, whole.data());
    for (const int64_t slab : {1, 5, 6, 12, 17, 48}) {
      std::vector<float> dw(outputs * inputs, kGuard);
      for (int64_t begin = 0; begin < outputs; begin += slab) {
        weight_gradient(dy, x, {begin, std::min(outputs, begin + slab)},
                        dw.data() + begin * inputs);
      }
      EXPECT_EQ(dw, whole) << "slabs of " << slab;
    }
  });
}

// Shares of 61 samples as workers hold them: some not whole panels, one empty.
struct Shares {
  std::deque<PanelArray> dy;
  std::deque<RowArray> x;
  std::vector<LayerFactors> factors;

  Shares(const PanelArray& all_dy, const RowArray& all_x, const std::vector<int64_t>& sizes,
         int64_t outputs, int64_t inputs) {
    int64_t first = 0;
    for (const int64_t size : sizes) {
      dy.emplace_back(size, outputs, 1, kZero);
      x.emplace_back(size, inputs, spread_stride(inputs), 2);
      for (int64_t i = 0; i < size; ++i) {
        for (int64_t o = 0; o < outputs; ++o) dy.back().at(i, o) = all_dy.at(first + i, o);
        for (int64_t k = 0; k < inputs; ++k) x.back().view().row(i)[k] = all_x.at(first + i, k);
      }
      first += size;
    }
    for (size_t i = 0; i < sizes.size(); ++i) factors.push_back({dy[i].view(), x[i].view()});
  }
};

TEST(PanelGemm, SharesInOneChainHaveTheBitsOfOneShare) {
  const int64_t outputs = 29, inputs = 37;
  const PanelArray dy(61, outputs, 7, kZero);
  const RowArray x(61, inputs, spread_stride(inputs), 8);
  const Shares shares(dy, x, {16, 0, 33, 12}, outputs, inputs);
  for_each_target([&] {
    std::vector<float> whole(outputs * inputs), dw(outputs * inputs, kGuard);
    weight_gradient(dy, x, {0, outputs}, whole.data());
    panel_weight_gradient(shares.factors, {0, 11}, ShareSum::chain, dw.data());
    panel_weight_gradient(shares.factors, {11, outputs}, ShareSum::chain, dw.data() + 11 * inputs);
    EXPECT_EQ(dw, whole);
    std::vector<float> sums(outputs), db(outputs + 1, kGuard);
    const LayerFactors all{dy.view(), x.view()};
    panel_bias_gradient({&all, 1}, {0, outputs}, ShareSum::chain, sums.data());
    panel_bias_gradient(shares.factors, {0, 11}, ShareSum::chain, db.data());
    panel_bias_gradient(shares.factors, {11, outputs}, ShareSum::chain, db.data() + 11);
    EXPECT_EQ(db.back(), kGuard);
    db.pop_back();
    EXPECT_EQ(db, sums);
  });
}

TEST(PanelGemm, FoldedSharesAreCompleteGradientsAddedLeftToRight) {
  const int64_t outputs = 29, inputs = 37;
  const PanelArray dy(61, outputs, 7, kZero);
  const RowArray x(61, inputs, spread_stride(inputs), 8);
  Shares shares(dy, x, {16, 0, 33, 12}, outputs, inputs);
  for_each_target([&] {
    std::vector<float> weights(outputs * inputs), biases(outputs);
    for (size_t i = 0; i < shares.factors.size(); ++i) {
      std::vector<float> dw(outputs * inputs), db(outputs);
      weight_gradient(shares.dy[i], shares.x[i], {0, outputs}, dw.data());
      panel_bias_gradient({&shares.factors[i], 1}, {0, outputs}, ShareSum::chain, db.data());
      for (size_t j = 0; j < dw.size(); ++j) weights[j] = i == 0 ? dw[j] : weights[j] + dw[j];
      for (size_t j = 0; j < db.size(); ++j) biases[j] = i == 0 ? db[j] : biases[j] + db[j];
    }
    std::vector<float> dw(outputs * inputs, kGuard), db(outputs, kGuard);
    panel_weight_gradient(shares.factors, {0, outputs}, ShareSum::fold, dw.data());
    panel_bias_gradient(shares.factors, {0, 5}, ShareSum::fold, db.data());
    panel_bias_gradient(shares.factors, {5, outputs}, ShareSum::fold, db.data() + 5);
    EXPECT_EQ(dw, weights);
    EXPECT_EQ(db, biases);
  });
}

TEST(PanelGemm, ASampleHasTheSameBitsWhateverSharesItsPanel) {
  const Layer layer(23, 61);
  const PanelArray x(65, 61, 3);
  for_each_target([&] {
    PanelArray all(65, 23, 4);
    panel_forward(layer.view(), x.view(), all.view());
    for (const int64_t i : {0, 13, 31, 32, 64}) {
      PanelArray alone(1, 61, 9), y(1, 23, 4);
      for (int64_t k = 0; k < 61; ++k) alone.at(0, k) = x.at(i, k);
      panel_forward(layer.view(), alone.view(), y.view());
      for (int64_t o = 0; o < 23; ++o) ASSERT_EQ(y.at(0, o), all.at(i, o)) << i << ", " << o;
    }
  });
}

TEST(PanelGemm, BiasGradientHasTheSameBitsOnEveryInstructionSet) {
  for (const int64_t samples : kSampleCounts) {
    for (const int64_t outputs : {1, 5, 32, 61}) {
      PanelArray dy(samples, outputs, 5, kZero);
      std::vector<float> first;
      for_each_target([&] {
        std::vector<float> db(outputs + 1, kGuard);
        const LayerFactors share{dy.view(), {}};
        panel_bias_gradient({&share, 1}, {0, outputs}, ShareSum::chain, db.data());
        for (int64_t o = 0; o < outputs; ++o) {
          const Expected e = chain(
              samples, 0.0f, [](int64_t) { return 1.0f; }, [&](int64_t i) { return dy.at(i, o); });
          ASSERT_NEAR(db[o], e.sum, e.allowed) << samples << " samples, unit " << o;
        }
        EXPECT_EQ(db[outputs], kGuard);
        if (first.empty()) first = db;
        EXPECT_EQ(db, first);
      });
    }
  }
}

}  // namespace
}  // namespace lockstep
