// cuBLASLt behind our interface: which matrix is which, in every orientation,
// against double sums.
#include "backend/cuda_matmul.h"

#include <cuda_bf16.h>
#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

#include "device/device.h"

namespace lockstep {
namespace {

class CudaMatmulTest : public testing::DeviceTest {
 protected:
  void SetUp() override {
    DeviceTest::SetUp();
    if (IsSkipped()) return;
    stream_ = testing::new_stream();
    matmul_ = make_cublas_matmul();
    ASSERT_NE(matmul_, nullptr);
  }
  void TearDown() override {
    matmul_.reset();
    DeviceTest::TearDown();
  }

  cudaStream_t stream_ = nullptr;
  std::unique_ptr<Matmul> matmul_;
};

// Multiples of 1/8 in [-2, 2): exact in bfloat16 and TF32, and so are their products in float32.
std::vector<float> exact_values(int64_t count, unsigned seed) {
  std::mt19937 engine(seed);
  std::vector<float> values(count);
  for (float& value : values) value = static_cast<float>(static_cast<int>(engine() % 32) - 16) / 8;
  return values;
}

template <class T>
T* on_device(const std::vector<float>& values) {
  return testing::to_device(std::vector<T>(values.begin(), values.end()));
}

template <class T>
std::vector<float> from_device(const T* pointer, size_t count) {
  const std::vector<T> values = testing::from_device(pointer, count);
  return {values.begin(), values.end()};
}

bool lies(MatmulOperand operand) {
  return operand == MatmulOperand::as_it_lies;
}

// The leading dimensions leave a gap after each row, which must stay as it was in C.
MatmulShape shape_of(int64_t m, int64_t n, int64_t k, MatmulOperand a, MatmulOperand b) {
  MatmulShape shape;
  shape.m = m;
  shape.n = n;
  shape.k = k;
  shape.a = a;
  shape.b = b;
  shape.lda = (lies(a) ? k : m) + 3;
  shape.ldb = (lies(b) ? n : k) + 2;
  shape.ldc = n + 1;
  return shape;
}

struct Operands {
  std::vector<float> a, b, bias, c;
};

Operands operands_of(const MatmulShape& shape) {
  return {exact_values((lies(shape.a) ? shape.m : shape.k) * shape.lda, 1),
          exact_values((lies(shape.b) ? shape.k : shape.n) * shape.ldb, 2),
          exact_values(shape.n, 3), exact_values(shape.m * shape.ldc, 4)};
}

std::vector<float> expected_of(const MatmulShape& shape, const Operands& in) {
  std::vector<float> c = in.c;
  for (int64_t i = 0; i < shape.m; ++i) {
    for (int64_t j = 0; j < shape.n; ++j) {
      double sum = shape.sum == MatmulSum::add ? in.c[i * shape.ldc + j] : 0.0;
      for (int64_t p = 0; p < shape.k; ++p) {
        const double x = in.a[lies(shape.a) ? i * shape.lda + p : p * shape.lda + i];
        const double y = in.b[lies(shape.b) ? p * shape.ldb + j : j * shape.ldb + p];
        sum += x * y;
      }
      if (shape.epilogue != MatmulEpilogue::none) sum += in.bias[j];
      if (shape.epilogue == MatmulEpilogue::bias_relu) sum = std::max(sum, 0.0);
      c[i * shape.ldc + j] = static_cast<float>(sum);
    }
  }
  return c;
}

template <class In, class Out>
std::vector<float> product_of(Matmul& matmul, const MatmulShape& shape, const Operands& in,
                              cudaStream_t stream) {
  Out* c = on_device<Out>(in.c);
  const bool bias = shape.epilogue != MatmulEpilogue::none;
  matmul.run(shape, on_device<In>(in.a), on_device<In>(in.b),
             bias ? on_device<Out>(in.bias) : nullptr, c, stream);
  return from_device(c, in.c.size());
}

const MatmulOperand kOperands[] = {MatmulOperand::as_it_lies, MatmulOperand::transposed};

TEST_F(CudaMatmulTest, MultipliesRowMajorMatricesInEveryOrientation) {
  for (const auto& [m, n, k] : {std::tuple<int64_t, int64_t, int64_t>{1, 1, 1},
                                {1, 7, 3},
                                {13, 1, 5},
                                {17, 10, 31},
                                {32, 64, 16}}) {
    for (const MatmulOperand a : kOperands) {
      for (const MatmulOperand b : kOperands) {
        const MatmulShape shape = shape_of(m, n, k, a, b);
        const Operands in = operands_of(shape);
        EXPECT_EQ((product_of<float, float>(*matmul_, shape, in, stream_)), expected_of(shape, in))
            << m << " x " << n << " x " << k << " " << lies(a) << lies(b);
      }
    }
  }
}

TEST_F(CudaMatmulTest, AddsTheBiasToEachRowAndThenAppliesRelu) {
  for (const auto epilogue : {MatmulEpilogue::bias, MatmulEpilogue::bias_relu}) {
    MatmulShape shape = shape_of(5, 11, 7, MatmulOperand::as_it_lies, MatmulOperand::transposed);
    shape.epilogue = epilogue;
    const Operands in = operands_of(shape);
    EXPECT_EQ((product_of<float, float>(*matmul_, shape, in, stream_)), expected_of(shape, in));
  }
}

TEST_F(CudaMatmulTest, AddsToWhatIsThere) {
  MatmulShape shape = shape_of(6, 9, 4, MatmulOperand::transposed, MatmulOperand::as_it_lies);
  shape.sum = MatmulSum::add;
  const Operands in = operands_of(shape);
  EXPECT_EQ((product_of<float, float>(*matmul_, shape, in, stream_)), expected_of(shape, in));
}

TEST_F(CudaMatmulTest, TakesBfloat16AndReturnsEitherType) {
  MatmulShape shape = shape_of(9, 12, 8, MatmulOperand::as_it_lies, MatmulOperand::transposed);
  shape.precision = Precision::bf16;
  shape.epilogue = MatmulEpilogue::bias;
  const Operands in = operands_of(shape);
  EXPECT_EQ((product_of<__nv_bfloat16, float>(*matmul_, shape, in, stream_)),
            expected_of(shape, in));
  shape.output = MatmulOutput::bf16;
  std::vector<float> expected = expected_of(shape, in);
  for (float& value : expected) value = static_cast<float>(__nv_bfloat16(value));
  EXPECT_EQ((product_of<__nv_bfloat16, __nv_bfloat16>(*matmul_, shape, in, stream_)), expected);
}

// 1 + 2^-12 has one bit more than TF32 keeps.
TEST_F(CudaMatmulTest, RoundsOperandsToTf32OnlyWhereAsked) {
  MatmulShape shape = shape_of(4, 4, 4, MatmulOperand::as_it_lies, MatmulOperand::as_it_lies);
  Operands in = operands_of(shape);
  for (float& value : in.a) value = 1.0F + std::ldexp(1.0F, -12);
  for (float& value : in.b) value = 1.0F;
  EXPECT_EQ((product_of<float, float>(*matmul_, shape, in, stream_))[0],
            4.0F + std::ldexp(4.0F, -12));
  shape.precision = Precision::tf32;
  const float product = product_of<float, float>(*matmul_, shape, in, stream_)[0];
  // A GPU's library may round, and for products this small need not.
  const bool exact = product == 4.0F + std::ldexp(4.0F, -12);
  EXPECT_TRUE(product == 4.0F || (exact && !testing::kEmulated)) << product;
}

TEST_F(CudaMatmulTest, RunsInACapturedGraphOnceItsShapeIsPrepared) {
  const MatmulShape shape = shape_of(8, 8, 8, MatmulOperand::as_it_lies, MatmulOperand::as_it_lies);
  const Operands in = operands_of(shape);
  float *a = on_device<float>(in.a), *b = on_device<float>(in.b), *c = on_device<float>(in.c);
  matmul_->prepare(shape);
  check(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal), "capture");
  matmul_->run(shape, a, b, nullptr, c, stream_);
  cudaGraph_t graph = nullptr;
  check(cudaStreamEndCapture(stream_, &graph), "cudaStreamEndCapture");
  EXPECT_EQ(from_device(c, in.c.size()), in.c);
  cudaGraphExec_t exec = nullptr;
  check(cudaGraphInstantiate(&exec, graph), "cudaGraphInstantiate");
  check(cudaGraphLaunch(exec, stream_), "cudaGraphLaunch");
  EXPECT_EQ(from_device(c, in.c.size()), expected_of(shape, in));
}

TEST_F(CudaMatmulTest, RefusesWhatCannotBe) {
  MatmulShape shape = shape_of(8, 8, 8, MatmulOperand::as_it_lies, MatmulOperand::as_it_lies);
  const Operands in = operands_of(shape);
  float *a = on_device<float>(in.a), *b = on_device<float>(in.b), *c = on_device<float>(in.c);
  EXPECT_THROW(matmul_->run(shape, a + 1, b, nullptr, c, stream_), Error);
  MatmulShape narrow = shape;
  narrow.ldb = 7;  // rows that overlap
  EXPECT_THROW(matmul_->prepare(narrow), Error);
  MatmulShape mixed = shape;
  mixed.output = MatmulOutput::bf16;  // of float32 operands
  try {
    matmul_->prepare(mixed);
    ADD_FAILURE() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::device);
    EXPECT_NE(std::string(error.what()).find("no algorithm"), std::string::npos);
  }
}

}  // namespace
}  // namespace lockstep
