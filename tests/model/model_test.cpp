#include "lockstep/model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "lockstep/error.h"
#include "lockstep/trainer.h"

namespace lockstep {
namespace {

template <class F>
void expect_error(ErrorKind kind, const std::string& text, F&& call) {
  try {
    call();
    ADD_FAILURE() << "expected an error with '" << text << "'";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), kind);
    EXPECT_THAT(error.what(), testing::HasSubstr(text));
    EXPECT_FALSE(error.remedy().empty());
  }
}

TEST(Model, LogisticOfTwoClassesIsOneLogitWithBinaryCrossEntropy) {
  const Model model = make_logistic(20, 2);
  ASSERT_EQ(model.layers.size(), 1u);
  const auto& linear = std::get<Linear>(model.layers[0]);
  EXPECT_EQ(linear.inputs, 20);
  EXPECT_EQ(linear.outputs, 1);
  EXPECT_EQ(linear.activation, Activation::none);
  EXPECT_EQ(model.loss, Loss::binary_cross_entropy);
  EXPECT_EQ(model.kind, "logistic");
  EXPECT_EQ(model.parameter_count(), 21);
  EXPECT_EQ(model.flop_per_sample(), 80.0);
}

TEST(Model, LogisticOfMoreClassesIsSoftmax) {
  const Model model = make_logistic(64, 10);
  EXPECT_EQ(std::get<Linear>(model.layers[0]).outputs, 10);
  EXPECT_EQ(model.loss, Loss::softmax_cross_entropy);
  EXPECT_EQ(model.classes, 10);
  EXPECT_EQ(model.parameter_count(), 650);
}

TEST(Model, MlpAlternatesLinearAndDropout) {
  const Model model = make_mlp(784, {512, 256, 128}, 10, 0.2);
  ASSERT_EQ(model.layers.size(), 7u);
  EXPECT_EQ(std::get<Linear>(model.layers[0]).activation, Activation::relu);
  EXPECT_EQ(std::get<Dropout>(model.layers[1]).p, 0.2);
  EXPECT_EQ(std::get<Linear>(model.layers[4]).inputs, 256);
  EXPECT_EQ(std::get<Linear>(model.layers[4]).outputs, 128);
  EXPECT_EQ(std::get<Linear>(model.layers[6]).outputs, 10);
  EXPECT_EQ(std::get<Linear>(model.layers[6]).activation, Activation::none);
  EXPECT_EQ(model.parameter_count(), 567434);
  EXPECT_EQ(model.flop_per_sample(), 6.0 * (512 * 256 + 256 * 128 + 128 * 10) + 4.0 * 784 * 512);
}

TEST(Model, MlpFlopCountsNoInputGradientOfTheFirstLayer) {
  const Model model = make_mlp(784, {256, 128}, 10, 0.0);
  ASSERT_EQ(model.layers.size(), 3u);
  EXPECT_EQ(model.parameter_count(), 235146);
  EXPECT_EQ(model.flop_per_sample(), 1007104.0);
}

TEST(Model, MlpWithoutHiddenLayersIsSoftmaxRegression) {
  const Model model = make_mlp(5, {}, 2, 0.0);
  ASSERT_EQ(model.layers.size(), 1u);
  EXPECT_EQ(std::get<Linear>(model.layers[0]).outputs, 2);
  EXPECT_EQ(model.loss, Loss::softmax_cross_entropy);
}

TEST(Model, RefusesWhatCannotBeTrained) {
  expect_error(ErrorKind::usage, "--hidden 0", [] { make_mlp(4, {8, 0}, 3, 0.0); });
  expect_error(ErrorKind::usage, "--hidden -3", [] { make_mlp(4, {-3}, 3, 0.0); });
  expect_error(ErrorKind::usage, "--dropout 1.5", [] { make_mlp(4, {8}, 3, 1.5); });
  expect_error(ErrorKind::usage, "--dropout 1.0", [] { make_mlp(4, {8}, 3, 1.0); });
  expect_error(ErrorKind::usage, "--dropout",
               [] { make_mlp(4, {8}, 3, std::numeric_limits<double>::quiet_NaN()); });
  expect_error(ErrorKind::usage, "2^40", [] { make_mlp(4, {2147483647, 2147483647}, 3, 0.0); });
  expect_error(ErrorKind::usage, "layers",
               [] { make_mlp(4, std::vector<int64_t>(256, 2), 3, 0.0); });
  expect_error(ErrorKind::data, "1 class;", [] { make_mlp(4, {8}, 1, 0.0); });
  expect_error(ErrorKind::data, "no labels", [] { make_logistic(4, 0); });
  expect_error(ErrorKind::data, "0 features", [] { make_logistic(0, 2); });
}

TEST(MakeModel, FollowsTheConfiguration) {
  ModelConfig config;
  config.hidden = {7};
  config.dropout = 0.5;
  EXPECT_EQ(make_model(config, 3, 2).layers.size(), 3u);
  config.model = "logistic";
  config.dropout = 0.0;
  EXPECT_EQ(make_model(config, 3, 2).loss, Loss::binary_cross_entropy);
  EXPECT_EQ(make_model(config, 3, 4).loss, Loss::softmax_cross_entropy);
}

TEST(MakeModel, RefusesUnknownModelsAndDropoutWithoutHiddenLayers) {
  ModelConfig config;
  config.model = "resnet";
  expect_error(ErrorKind::usage, "resnet", [&] { make_model(config, 3, 2); });
  config.model = "logistic";
  config.dropout = 0.1;
  expect_error(ErrorKind::usage, "--dropout", [&] { make_model(config, 3, 2); });
}

}  // namespace
}  // namespace lockstep
