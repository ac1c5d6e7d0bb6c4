// Linear layers by cuBLASLt, which adds the bias; all else are small kernels of our own. ReLU among
// them: the library's is max(x, 0), which turns NaN into 0 and would hide a diverged run. So is the
// bias gradient, whose order of summation is then known.
//
// Under bf16 products take bfloat16 copies of their operands, each made once a step; weights,
// activations and gradients stay float32.
#include <algorithm>
#include <map>
#include <utility>

#include "backend/cuda_linear.h"
#include "backend/cuda_matmul.h"
#include "backend/cuda_memory.h"
#include "kernels/column_sums.h"
#include "kernels/dropout_rows.h"
#include "kernels/relu_rows.h"
#include "kernels/to_bf16.h"
#include "lockstep/error.h"

namespace lockstep {

namespace {

// Bfloat16 values between the rows of an operand: whole vectors of 16 bytes.
constexpr int64_t bf16_stride(int64_t columns) {
  return (columns + 7) / 8 * 8;
}

// Values that an implementation works in.
struct Sizes {
  size_t copies = 0, part = 0;  // bfloat16: of a step's operands, and of some columns of one
  size_t sums = 0;              // float32

  explicit Sizes(const LinearNetwork& network) {
    const auto rows = static_cast<size_t>(network.rows);
    for (const LinearLayer& layer : network.layers) {
      sums = std::max(sums, column_sums_workspace(network.rows, layer.outputs));
      if (network.precision != Precision::bf16) continue;
      const size_t inputs = bf16_stride(layer.inputs), outputs = bf16_stride(layer.outputs);
      copies += rows * (inputs + outputs) + layer.outputs * inputs;
      part = std::max(part, rows * outputs);
    }
  }
};

// Bfloat16 copies of a step's operands, each made by the first product that takes it.
class OperandCopies {
 public:
  explicit OperandCopies(size_t values) : memory_(values) {}

  void forget() {
    copies_.clear();
    used_ = 0;
  }

  DeviceRows<const __nv_bfloat16> of(DeviceRows<const float> values, int64_t rows, int64_t columns,
                                     cudaStream_t stream) {
    const auto [copy, is_new] = copies_.try_emplace({values.data, columns});
    if (!is_new) return copy->second;
    const DeviceRows<__nv_bfloat16> rounded{memory_.data() + used_, bf16_stride(columns)};
    used_ += static_cast<size_t>(rows * rounded.stride);
    if (used_ > memory_.size()) {
      throw Error(ErrorKind::runtime, "a step's passes take more operands than its layers have");
    }
    to_bf16(values, rounded, rows, columns, stream);
    copy->second = {rounded.data, rounded.stride};
    return copy->second;
  }

 private:
  DeviceArray<__nv_bfloat16> memory_;
  size_t used_ = 0;
  std::map<std::pair<const float*, int64_t>, DeviceRows<const __nv_bfloat16>> copies_;
};

class CublasLinear final : public LinearOps {
 public:
  explicit CublasLinear(const LinearNetwork& network)
      : CublasLinear(network, make_cublas_matmul(), Sizes(network)) {}

  void begin_step() override { copies_.forget(); }

  void prepare(int rows, cudaStream_t) override {
    if (rows == 0) return;
    for (const LinearLayer& layer : network_.layers) {
      const int64_t x = activation_stride(layer.inputs), dy = activation_stride(layer.outputs);
      const int64_t w = bf16() ? bf16_stride(layer.inputs) : layer.inputs;
      matmul_->prepare(forward_shape(rows, layer, {x, w, row_stride(layer.outputs)}));
      matmul_->prepare(weight_shape(rows, layer, {dy, x, layer.inputs}));
      if (&layer == &network_.layers.front() && !network_.input_gradient) continue;
      matmul_->prepare(input_shape(rows, layer, {dy, w, row_stride(layer.inputs)}));
    }
  }

  void forward(LinearForward pass, cudaStream_t stream) override {
    if (pass.batch == 0) return;
    const LinearLayer layer{pass.inputs, pass.outputs, pass.activation};
    const Operand x = operand(pass.x, pass.batch, pass.inputs, stream);
    const Operand w = operand({pass.weight, pass.inputs}, pass.outputs, pass.inputs, stream);
    matmul_->run(forward_shape(pass.batch, layer, {x.stride, w.stride, pass.y.stride}), x.data,
                 w.data, pass.bias, pass.y.data, stream);
    if (pass.activation == Activation::relu) {
      relu_rows(pass.dropout, pass.y, pass.batch, pass.outputs, stream);
    } else {
      dropout_rows(pass.dropout, pass.y, pass.batch, pass.outputs, stream);
    }
  }

  void backward_input(LinearBackwardInput pass, cudaStream_t stream) override {
    if (pass.batch == 0) return;
    const LinearLayer layer{pass.inputs, pass.outputs, pass.activation};
    const Operand dy = operand(pass.dy, pass.batch, pass.outputs, stream);
    const Operand w = operand({pass.weight, pass.inputs}, pass.outputs, pass.inputs, stream);
    matmul_->run(input_shape(pass.batch, layer, {dy.stride, w.stride, pass.dx.stride}), dy.data,
                 w.data, nullptr, pass.dx.data, stream);
    if (pass.activation == Activation::relu) {
      relu_backward_rows(pass.dropout, pass.x, pass.dx, pass.batch, pass.inputs, stream);
    } else {
      dropout_rows(pass.dropout, pass.dx, pass.batch, pass.inputs, stream);
    }
  }

  void backward_weight(LinearBackwardWeight pass, cudaStream_t stream) override {
    if (pass.units == 0) return;
    const DeviceRows<const float> of_units{pass.dy.data + pass.first_unit, pass.dy.stride};
    column_sums(of_units, pass.batch, pass.units, pass.dbias + pass.first_unit, sums_.data(),
                stream);
    float* dweight = pass.dweight + static_cast<int64_t>(pass.first_unit) * pass.inputs;
    if (pass.batch == 0) {
      const size_t bytes = sizeof(float) * pass.units * pass.inputs;
      check(cudaMemsetAsync(dweight, 0, bytes, stream), "cudaMemsetAsync");
      return;
    }
    const LinearLayer layer{pass.inputs, pass.units, Activation::none};
    const bool all = pass.units == pass.outputs;
    const Operand dy = all ? operand(of_units, pass.batch, pass.units, stream)
                           : part_operand(of_units, pass.batch, pass.units, stream);
    const Operand x = operand(pass.x, pass.batch, pass.inputs, stream);
    matmul_->run(weight_shape(pass.batch, layer, {dy.stride, x.stride, pass.inputs}), dy.data,
                 x.data, nullptr, dweight, stream);
  }

 private:
  // What a product multiplies: float32, or bfloat16 under that precision.
  struct Operand {
    const void* data;
    int64_t stride;
  };
  // Of a product's two operands and its result.
  struct Strides {
    int64_t a, b, c;
  };

  CublasLinear(const LinearNetwork& network, std::unique_ptr<Matmul> matmul, const Sizes& sizes)
      : network_(network),
        matmul_(std::move(matmul)),
        copies_(sizes.copies),
        part_(sizes.part),
        sums_(sizes.sums) {
    if (matmul_) return;
    throw Error(ErrorKind::device, "this build has no cuBLASLt",
                "use the program's own kernels: --gemm own");
  }

  bool bf16() const { return network_.precision == Precision::bf16; }
  int64_t activation_stride(int64_t columns) const {
    return bf16() ? bf16_stride(columns) : row_stride(columns);
  }

  Operand operand(DeviceRows<const float> values, int64_t rows, int64_t columns,
                  cudaStream_t stream) {
    if (!bf16()) return {values.data, values.stride};
    const DeviceRows<const __nv_bfloat16> copy = copies_.of(values, rows, columns, stream);
    return {copy.data, copy.stride};
  }
  // Of some units: their copy is the next such pass's memory.
  Operand part_operand(DeviceRows<const float> values, int64_t rows, int64_t columns,
                       cudaStream_t stream) const {
    if (!bf16()) return {values.data, values.stride};
    const DeviceRows<__nv_bfloat16> rounded{part_.data(), bf16_stride(columns)};
    to_bf16(values, rounded, rows, columns, stream);
    return {rounded.data, rounded.stride};
  }

  // y [rows, outputs] = x [rows, inputs] w^T + b
  MatmulShape forward_shape(int rows, const LinearLayer& layer, Strides stride) const {
    MatmulShape shape = product(rows, layer.outputs, layer.inputs, stride);
    shape.b = MatmulOperand::transposed;
    shape.epilogue = MatmulEpilogue::bias;
    return shape;
  }
  // dx [rows, inputs] = dy [rows, outputs] w
  MatmulShape input_shape(int rows, const LinearLayer& layer, Strides stride) const {
    return product(rows, layer.inputs, layer.outputs, stride);
  }
  // dw [outputs, inputs] = dy^T x
  MatmulShape weight_shape(int rows, const LinearLayer& layer, Strides stride) const {
    MatmulShape shape = product(layer.outputs, layer.inputs, rows, stride);
    shape.a = MatmulOperand::transposed;
    return shape;
  }
  MatmulShape product(int64_t m, int64_t n, int64_t k, Strides stride) const {
    MatmulShape shape;
    shape.m = m;
    shape.n = n;
    shape.k = k;
    shape.lda = stride.a;
    shape.ldb = stride.b;
    shape.ldc = stride.c;
    shape.precision = network_.precision;
    return shape;
  }

  LinearNetwork network_;
  std::unique_ptr<Matmul> matmul_;
  OperandCopies copies_;  // under bf16, as part_
  DeviceArray<__nv_bfloat16> part_;
  DeviceArray<float> sums_;
};

}  // namespace

std::unique_ptr<LinearOps> make_cublas_linear(const LinearNetwork& network) {
  return std::make_unique<CublasLinear>(network);
}

size_t cublas_linear_bytes(const LinearNetwork& network) {
  const Sizes sizes(network);
  return kMatmulWorkspaceBytes + sizeof(float) * sizes.sums +
         sizeof(__nv_bfloat16) * (sizes.copies + sizes.part);
}

}  // namespace lockstep
