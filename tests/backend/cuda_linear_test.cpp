// Linear layers on a GPU by either implementation, on the emulator: every pass against float64
// sums, masks bitwise the CPU's.
#include "backend/cuda_linear.h"

#include <cuda_bf16.h>

#include <algorithm>

#include "backend/cuda_memory.h"
#include "kernels/linear_fixtures.h"

namespace lockstep::test {
namespace {

constexpr LinearSizes kSizes[] = {{1, 1, 1}, {13, 7, 5}, {24, 13, 10}, {33, 70, 20}, {5, 3, 130}};

// Rows as LinearOps takes them.
TestRows rows_of(int rows, int columns, unsigned seed) {
  return random_rows(rows, columns, {0, 0, 4}, seed);
}
TestRows weight_of(const LinearSizes& sizes) {
  return random_rows(sizes.outputs, sizes.inputs, {}, 9);
}

struct Variant {
  Gemm gemm;
  Precision precision;
  Activation activation;
  bool dropout;
};

class CudaLinearTest : public DeviceTest {
 protected:
  static std::unique_ptr<LinearOps> make(Gemm gemm, const LinearSizes& sizes, Precision precision) {
    const LinearNetwork network{
        {{sizes.inputs, sizes.outputs, Activation::none}}, sizes.batch, precision};
    auto ops = gemm == Gemm::own ? make_own_linear(network) : make_cublas_linear(network);
    prepare(*ops, sizes.batch);
    return ops;
  }
  // Whatever the stream of the passes.
  static void prepare(LinearOps& ops, int rows) {
    ops.prepare(rows, new_stream());
    ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  }

  template <class Check>
  static void for_each(const Check& check) {
    for (const Gemm gemm : {Gemm::own, Gemm::cublas}) {
      for (const Precision precision : testing::precisions()) {
        for (const Activation activation : {Activation::none, Activation::relu}) {
          for (const bool dropout : {false, true}) {
            for (const LinearSizes& sizes : kSizes) {
              testing::renew_device();
              SCOPED_TRACE(std::string(gemm == Gemm::own ? "own" : "cublas") + ", precision " +
                           std::to_string(static_cast<int>(precision)) + ", relu " +
                           std::to_string(activation == Activation::relu) + ", dropout " +
                           std::to_string(dropout) + ", " + to_string(sizes));
              check(sizes, Variant{gemm, precision, activation, dropout});
              if (::testing::Test::HasFatalFailure()) return;
            }
          }
        }
      }
    }
  }
};

std::vector<std::int64_t> samples_of(int rows) {
  std::vector<std::int64_t> samples;
  for (int i = 0; i < rows; ++i) samples.push_back(5 * i + 1);
  return samples;
}

DropoutKey key() {
  return dropout_key(3, 2, 4, 0.4);
}

DropoutMask mask_of(const Variant& variant, int rows) {
  return variant.dropout ? mask_on_device(key(), samples_of(rows)) : DropoutMask{};
}

// What the CPU's mask makes of ones: 0 or the scale.
TestRows factors(const Variant& variant, int rows, int columns) {
  TestRows ones = empty_rows(rows, columns);
  std::ranges::fill(ones.values, 1.0F);
  if (variant.dropout) drop_on_cpu(key(), samples_of(rows), ones);
  return ones;
}

TEST_F(CudaLinearTest, ForwardIsNearFloat64s) {
  for_each([](const LinearSizes& sizes, const Variant& variant) {
    const TestRows x = rows_of(sizes.batch, sizes.inputs, 1), w = weight_of(sizes);
    const TestRows bias = random_rows(1, sizes.outputs, {}, 3);
    const TestRows form = rows_of(sizes.batch, sizes.outputs, 4);
    const DeviceRows<float> result = on_device(form);
    make(variant.gemm, sizes, variant.precision)
        ->forward({.batch = sizes.batch,
                   .inputs = sizes.inputs,
                   .outputs = sizes.outputs,
                   .x = input_on_device(x),
                   .weight = on_device(w.values),
                   .bias = on_device(bias.values),
                   .y = result,
                   .activation = variant.activation,
                   .dropout = mask_of(variant, sizes.batch)},
                  new_stream());
    const TestRows y = from_device(result, form);
    const TestRows factor = factors(variant, sizes.batch, sizes.outputs);
    for (int i = 0; i < sizes.batch; ++i) {
      for (int j = 0; j < sizes.outputs; ++j) {
        Product sum;
        for (int k = 0; k < sizes.inputs; ++k) sum.add(x.at(i, k), w.at(j, k));
        sum.value += bias.at(0, j);
        const double expected =
            variant.activation == Activation::relu ? std::max(sum.value, 0.0) : sum.value;
        ASSERT_NEAR(y.at(i, j), factor.at(i, j) * expected,
                    factor.at(i, j) * sum.bound(variant.precision))
            << i << ", " << j;
      }
    }
  });
}

TEST_F(CudaLinearTest, InputGradientIsNearFloat64s) {
  for_each([](const LinearSizes& sizes, const Variant& variant) {
    const TestRows dy = rows_of(sizes.batch, sizes.outputs, 1), w = weight_of(sizes);
    const TestRows form = rows_of(sizes.batch, sizes.inputs, 4);
    const TestRows factor = factors(variant, sizes.batch, sizes.inputs);
    TestRows x = rows_of(sizes.batch, sizes.inputs, 2);  // what forward left below
    for (int i = 0; i < sizes.batch; ++i) {
      for (int k = 0; k < sizes.inputs; ++k) {
        if (variant.activation == Activation::relu) x.at(i, k) = std::max(x.at(i, k), 0.0F);
        x.at(i, k) *= factor.at(i, k);
      }
    }
    const DeviceRows<float> result = on_device(form);
    make(variant.gemm, sizes, variant.precision)
        ->backward_input({.batch = sizes.batch,
                          .inputs = sizes.inputs,
                          .outputs = sizes.outputs,
                          .dy = input_on_device(dy),
                          .weight = on_device(w.values),
                          .x = input_on_device(x),
                          .dx = result,
                          .activation = variant.activation,
                          .dropout = mask_of(variant, sizes.batch)},
                         new_stream());
    const TestRows dx = from_device(result, form);
    for (int i = 0; i < sizes.batch; ++i) {
      for (int k = 0; k < sizes.inputs; ++k) {
        Product sum;
        for (int j = 0; j < sizes.outputs; ++j) sum.add(dy.at(i, j), w.at(j, k));
        const bool passes = variant.activation == Activation::none || x.at(i, k) > 0;
        const double slope = passes ? factor.at(i, k) : 0;
        ASSERT_NEAR(dx.at(i, k), slope * sum.value, slope * sum.bound(variant.precision))
            << i << ", " << k;
      }
    }
  });
}

// The units [first, first + units) of the gradients; NaN stays where nothing is written.
void expect_weight_gradient(const LinearSizes& sizes, const Variant& variant, LinearOps& ops,
                            int first, int units) {
  const TestRows x = rows_of(sizes.batch, sizes.inputs, 1);
  const TestRows dy = rows_of(sizes.batch, sizes.outputs, 2);
  const TestRows none = empty_rows(sizes.outputs, sizes.inputs);
  const TestRows none_bias = empty_rows(1, sizes.outputs);
  float *dw = on_device(none.values), *db = on_device(none_bias.values);
  ops.begin_step();
  ops.backward_weight({.batch = sizes.batch,
                       .inputs = sizes.inputs,
                       .outputs = sizes.outputs,
                       .first_unit = first,
                       .units = units,
                       .dy = input_on_device(dy),
                       .x = input_on_device(x),
                       .dweight = dw,
                       .dbias = db},
                      new_stream());
  const std::vector<float> weight = from_device(dw, none.values.size());
  const std::vector<float> bias = from_device(db, none_bias.values.size());
  for (int u = 0; u < sizes.outputs; ++u) {
    const bool computed = u >= first && u < first + units;
    for (int k = 0; k < sizes.inputs; ++k) {
      Product sum;
      for (int i = 0; i < sizes.batch; ++i) sum.add(dy.at(i, u), x.at(i, k));
      const float gradient = weight[u * sizes.inputs + k];
      ASSERT_EQ(std::isnan(gradient), !computed) << "unit " << u;
      if (!computed) continue;
      ASSERT_NEAR(gradient, sum.value, sum.bound(variant.precision)) << "unit " << u;
    }
    Product sum;
    for (int i = 0; i < sizes.batch; ++i) sum.add(dy.at(i, u), 1);
    ASSERT_EQ(std::isnan(bias[u]), !computed) << "unit " << u;
    if (!computed) continue;
    ASSERT_NEAR(bias[u], sum.value, sum.bound(Precision::fp32)) << "unit " << u;
  }
}

TEST_F(CudaLinearTest, WeightGradientIsNearFloat64s) {
  for_each([](const LinearSizes& sizes, const Variant& variant) {
    if (variant.dropout || variant.activation == Activation::relu) return;  // not of this pass
    const auto ops = make(variant.gemm, sizes, variant.precision);
    expect_weight_gradient(sizes, variant, *ops, 0, sizes.outputs);
  });
}

TEST_F(CudaLinearTest, WeightGradientOfSomeUnitsLeavesTheOthersAlone) {
  for (const Gemm gemm : {Gemm::own, Gemm::cublas}) {
    for (const Precision precision : testing::precisions()) {
      const LinearSizes sizes{11, 6, 19};
      const Variant variant{gemm, precision, Activation::none, false};
      const auto ops = make(gemm, sizes, precision);
      expect_weight_gradient(sizes, variant, *ops, 4, 5);
      expect_weight_gradient(sizes, variant, *ops, 16, 3);
      expect_weight_gradient(sizes, variant, *ops, 8, 0);
    }
  }
}

TEST_F(CudaLinearTest, AnEmptyBatchHasGradientsOfZero) {
  for (const Gemm gemm : {Gemm::own, Gemm::cublas}) {
    const LinearSizes sizes{0, 6, 19};
    const auto ops = make(gemm, {8, sizes.inputs, sizes.outputs}, Precision::bf16);
    prepare(*ops, 0);
    ops->forward({.batch = 0, .inputs = sizes.inputs, .outputs = sizes.outputs}, new_stream());
    ops->backward_input({.batch = 0, .inputs = sizes.inputs, .outputs = sizes.outputs},
                        new_stream());
    expect_weight_gradient(sizes, {gemm, Precision::bf16, Activation::none, false}, *ops, 0,
                           sizes.outputs);
  }
}

// A step's passes over one layer: three products of two operands each.
TEST_F(CudaLinearTest, UnderBf16EachOperandIsCopiedOnceAStep) {
  const auto count = testing::launches_seen();
  if (!count || !testing::has_tensor_cores()) GTEST_SKIP() << "only the emulator counts launches";
  const LinearSizes sizes{11, 6, 19};
  const auto ops = make(Gemm::cublas, sizes, Precision::bf16);
  TestRows x = rows_of(sizes.batch, sizes.inputs, 1);
  const TestRows w = weight_of(sizes), dy = rows_of(sizes.batch, sizes.outputs, 2);
  const DeviceRows<float> x_there = on_device(x);
  const DeviceRows<float> y = on_device(rows_of(sizes.batch, sizes.outputs, 4));
  const LinearForward forward{.batch = sizes.batch,
                              .inputs = sizes.inputs,
                              .outputs = sizes.outputs,
                              .x = {x_there.data, x_there.stride},
                              .weight = on_device(w.values),
                              .bias = on_device(std::vector<float>(sizes.outputs)),
                              .y = y};
  const LinearBackwardInput input{.batch = sizes.batch,
                                  .inputs = sizes.inputs,
                                  .outputs = sizes.outputs,
                                  .dy = input_on_device(dy),
                                  .weight = forward.weight,
                                  .x = forward.x,
                                  .dx = on_device(rows_of(sizes.batch, sizes.inputs, 5))};
  const LinearBackwardWeight weight{.batch = sizes.batch,
                                    .inputs = sizes.inputs,
                                    .outputs = sizes.outputs,
                                    .first_unit = 0,
                                    .units = sizes.outputs,
                                    .dy = input.dy,
                                    .x = forward.x,
                                    .dweight = on_device(w.values),
                                    .dbias = on_device(std::vector<float>(sizes.outputs))};
  cudaStream_t stream = new_stream();
  const auto launches = [&](const auto& pass) {
    const long before = *testing::launches_seen();
    pass();
    return *testing::launches_seen() - before;
  };
  for (int step = 0; step < 2; ++step) {
    ops->begin_step();
    EXPECT_EQ(launches([&] { ops->forward(forward, stream); }), 3) << "x, w and the product";
    EXPECT_EQ(launches([&] { ops->backward_input(input, stream); }), 2) << "dy and the product";
    EXPECT_EQ(launches([&] { ops->backward_weight(weight, stream); }), 2)
        << "sums of columns and the product";
    // The next step finds other values in the same place.
    if (step == 0) {
      const float before = from_device(y, rows_of(sizes.batch, sizes.outputs, 4)).at(0, 0);
      for (float& value : x.values) value *= 2;
      ASSERT_EQ(cudaMemcpy(x_there.data - x.lead(), x.values.data(),
                           x.values.size() * sizeof(float), cudaMemcpyHostToDevice),
                cudaSuccess);
      ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);
      ops->begin_step();
      ops->forward(forward, stream);
      EXPECT_NEAR(from_device(y, rows_of(sizes.batch, sizes.outputs, 4)).at(0, 0), 2 * before,
                  1e-5);
    }
  }
}

// Products of few rows are split over more blocks, which need more memory than many rows do.
TEST_F(CudaLinearTest, OwnKernelsHaveMemoryForBatchesSmallerThanTheLargest) {
  testing::pretend_multiprocessors(132);
  const LinearSizes large{512, 784, 256}, small{24, 784, 256};
  ASSERT_EQ(linear_forward_workspace(large.batch, large.inputs, large.outputs), 0U);
  ASSERT_EQ(linear_backward_weight_workspace(large.batch, large.inputs, large.outputs), 0U);
  ASSERT_GT(linear_forward_workspace(small.batch, small.inputs, small.outputs), 0U);
  const auto ops = make(Gemm::own, large, Precision::fp32);
  prepare(*ops, small.batch);
  const TestRows x = rows_of(small.batch, small.inputs, 1), w = weight_of(small);
  const TestRows form = rows_of(small.batch, small.outputs, 4);
  const DeviceRows<float> y = on_device(form);
  ops->forward({.batch = small.batch,
                .inputs = small.inputs,
                .outputs = small.outputs,
                .x = input_on_device(x),
                .weight = on_device(w.values),
                .bias = on_device(std::vector<float>(small.outputs)),
                .y = y},
               new_stream());
  Product sum;
  for (int k = 0; k < small.inputs; ++k) sum.add(x.at(3, k), w.at(7, k));
  EXPECT_NEAR(from_device(y, form).at(3, 7), sum.value, sum.bound(Precision::fp32));
}

}  // namespace
}  // namespace lockstep::test
