// Which implementation computes a network's products.
#include "backend/cuda_linear_choice.h"

#include "device/device.h"

namespace lockstep::test {
namespace {

using CudaLinearChoiceTest = testing::DeviceTest;

const LinearNetwork kNetwork{
    {{12, 20, Activation::relu}, {20, 20, Activation::relu}, {20, 20, Activation::relu}, {20, 3}},
    16,
    Precision::fp32};

TEST_F(CudaLinearChoiceTest, EachProductIsMeasuredOnceAndTheFasterTaken) {
  const auto own = make_own_linear(kNetwork), cublas = make_cublas_linear(kNetwork);
  const std::vector<ProductChoice> products = measure_products(kNetwork, 16, *own, *cublas);
  std::vector<std::tuple<LinearProduct, int64_t, int64_t>> found;
  for (const ProductChoice& choice : products) {
    found.emplace_back(choice.product, choice.inputs, choice.outputs);
    EXPECT_EQ(choice.batch, 16);
    ASSERT_TRUE(choice.own_seconds && choice.cublas_seconds);
    EXPECT_GT(*choice.own_seconds, 0);
    EXPECT_GT(*choice.cublas_seconds, 0);
    EXPECT_EQ(choice.gemm, *choice.cublas_seconds < *choice.own_seconds ? Gemm::cublas : Gemm::own);
  }
  using enum LinearProduct;
  EXPECT_EQ(found, (decltype(found){{forward, 12, 20},
                                    {weight_gradient, 12, 20},
                                    {forward, 20, 20},
                                    {input_gradient, 20, 20},
                                    {weight_gradient, 20, 20},
                                    {forward, 20, 3},
                                    {input_gradient, 20, 3},
                                    {weight_gradient, 20, 3}}));
}

// Writes down what it is asked for.
class Recorder final : public LinearOps {
 public:
  Recorder(std::string name, std::vector<std::string>& log) : name_(std::move(name)), log_(log) {}
  void prepare(int rows, cudaStream_t) override {
    log_.push_back(name_ + " prepare " + std::to_string(rows));
  }
  void begin_step() override { log_.push_back(name_ + " step"); }
  void forward(LinearForward, cudaStream_t) override { log_.push_back(name_ + " forward"); }
  void backward_input(LinearBackwardInput, cudaStream_t) override {
    log_.push_back(name_ + " input");
  }
  void backward_weight(LinearBackwardWeight, cudaStream_t) override {
    log_.push_back(name_ + " weight");
  }

 private:
  std::string name_;
  std::vector<std::string>& log_;
};

TEST_F(CudaLinearChoiceTest, EachProductRunsByTheImplementationChosenForIt) {
  std::vector<ProductChoice> products = choose_linear(kNetwork, Gemm::own, 16).products;
  for (ProductChoice& choice : products) {
    const bool wide = choice.outputs == 20;
    if (wide == (choice.product == LinearProduct::forward)) choice.gemm = Gemm::cublas;
  }
  std::vector<std::string> log;
  const auto ops = make_mixed_linear(std::make_unique<Recorder>("own", log),
                                     std::make_unique<Recorder>("cublas", log), products);
  ops->prepare(7, nullptr);
  ops->begin_step();
  for (const int outputs : {20, 3}) {
    ops->forward({.inputs = 20, .outputs = outputs}, nullptr);
    ops->backward_input({.inputs = 20, .outputs = outputs}, nullptr);
    ops->backward_weight({.inputs = 20, .outputs = outputs}, nullptr);
  }
  EXPECT_EQ(
      log, (std::vector<std::string>{"own prepare 7", "cublas prepare 7", "own step", "cublas step",
                                     "cublas forward", "own input", "own weight", "own forward",
                                     "cublas input", "cublas weight"}));
}

}  // namespace
}  // namespace lockstep::test
