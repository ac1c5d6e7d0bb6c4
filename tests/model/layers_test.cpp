// Networks described by text: shapes, counts, and what is refused.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lockstep/error.h"
#include "lockstep/parameters.h"
#include "lockstep/trainer.h"
#include "model/check_model.h"

namespace lockstep {
namespace {

constexpr ImageShape kCifar{3, 32, 32};
constexpr ImageShape kMnist{1, 28, 28};

Model cifar(const std::string& text) {
  return make_layers(text, kCifar, kCifar.size(), 10);
}

TEST(Layers, TheCnnOfThePublishedStudiesHasItsSizes) {
  const Model model = make_cnn(kCifar, kCifar.size(), 10);
  EXPECT_EQ(model.kind, "cnn");
  EXPECT_EQ(model.parameter_count(), 315722);
  EXPECT_EQ(model.image, kCifar);
  const std::vector<LayerSummary> layers = summarize(model);
  ASSERT_EQ(layers.size(), 7u);
  EXPECT_EQ(layers[0].text, "conv 32 3, relu");
  EXPECT_EQ(layers[0].output, (ImageShape{32, 30, 30}));
  EXPECT_EQ(layers[1].output, (ImageShape{32, 15, 15}));
  EXPECT_EQ(layers[2].output, (ImageShape{64, 13, 13}));
  EXPECT_EQ(layers[3].output, (ImageShape{64, 6, 6}));
  EXPECT_EQ(layers[4].output.channels, 2304);
  EXPECT_EQ(layers[5].parameters, 2304 * 128 + 128);
  EXPECT_EQ(layers[6].text, "linear 10");
  // Forward and the weights' gradient of the first; and the inputs' gradient of the others.
  EXPECT_EQ(layers[0].flop, 4.0 * 900 * 32 * 27);
  EXPECT_EQ(layers[2].flop, 6.0 * 169 * 64 * 288);
  EXPECT_EQ(problem_with(model), "");
}

TEST(Layers, LenetIsLenet) {
  const Model model = make_lenet(kMnist, kMnist.size(), 10);
  EXPECT_EQ(model.parameter_count(), 61706);  // LeCun et al. with dense connections
  EXPECT_EQ(summarize(model)[0].output, (ImageShape{6, 28, 28}));
  EXPECT_EQ(summarize(model)[3].output, (ImageShape{16, 5, 5}));
  EXPECT_EQ(make_lenet(kCifar, kCifar.size(), 10).parameter_count(), 62006);
}

TEST(Layers, TextOfALayerIsWhatMakesIt) {
  for (const char* text : {"conv 8 3x5 stride 2 pad 1", "conv 8 3", "maxpool 2",
                           "avgpool 3 stride 2", "dropout 0.25"}) {
    const Model model = cifar(std::string(text) + ", flatten, linear 10");
    EXPECT_EQ(to_string(model.layers[0]), text);
  }
}

TEST(Layers, ReluBelongsToTheLayerWithParametersBeforeIt) {
  const Model model = cifar(
      "conv 4 3, maxpool 2, dropout 0.1, relu, flatten, linear 6, dropout 0.5, relu, linear 10");
  EXPECT_EQ(std::get<Conv2d>(model.layers[0]).activation, Activation::relu);
  EXPECT_EQ(std::get<Linear>(model.layers[4]).activation, Activation::relu);
  EXPECT_EQ(std::get<Linear>(model.layers[6]).activation, Activation::none);
}

TEST(Layers, LinearLayersAloneAreAnMlp) {
  const Model model = make_layers("flatten, linear 20, relu, linear 10", kMnist, 784, 10);
  const Model mlp = make_mlp(784, {20}, 10, 0.0);
  ASSERT_EQ(model.layers.size(), mlp.layers.size());
  EXPECT_FALSE(model.convolutional());
  EXPECT_EQ(model.image, std::nullopt);
  EXPECT_EQ(model.parameter_count(), mlp.parameter_count());
  const Model binary = make_layers("linear 1", std::nullopt, 5, 2);
  EXPECT_EQ(binary.loss, Loss::binary_cross_entropy);
}

struct Refusal {
  const char* layers;
  const char* says;
};

TEST(Layers, WhatDoesNotFitIsRefusedByLayerAndSize) {
  for (const auto& [layers, says] : std::vector<Refusal>{
           {"", "layer 1 is empty"},
           {"conv 8 3,, flatten, linear 10", "layer 2 is empty"},
           {"convolution 8 3", "layer 1 ('convolution 8 3'): there is no such layer"},
           {"conv", "the number of channels is missing"},
           {"conv 8", "the kernel is missing"},
           {"conv 8 x3", "the kernel '' is not a whole number"},
           {"conv 8 3 3", "'3' is too much"},
           {"conv 8 3 stride", "the number behind it is missing"},
           {"conv 8 3 stride 0", "the number behind it 0 is not between 1"},
           {"conv 8 3 pad 1 pad 1", "'pad' is given twice"},
           {"conv 8 3 pad 3", "a padding of 3 makes windows of nothing but zeros"},
           {"conv 0 3", "the number of channels 0 is not between 1"},
           {"conv 8 99999999999", "the kernel 99999999999 is not between 1"},
           {"conv 8 33, flatten, linear 10",
            "its kernel of 33 x 33 is larger than its input of 3 x 32 x 32"},
           {"maxpool 2, maxpool 17",
            "layer 2 ('maxpool 17'): its kernel of 17 x 17 is larger than its input of 3 x 16 x "
            "16"},
           {"conv 8 3, linear 10", "its input is an image of 8 x 30 x 30"},
           {"flatten, conv 8 3", "its input is a row of 3072 features, not an image"},
           {"linear 5, maxpool 2", "its input is a row of 5 features, not an image"},
           {"conv 8 3, flatten, flatten, linear 10", "its input is flat already"},
           {"relu, linear 10", "no conv or linear layer stands before it"},
           {"conv 8 3, relu, relu, flatten, linear 10", "there is one before it"},
           {"conv 8 3, avgpool 2, relu, flatten, linear 10", "it follows avgpool"},
           {"dropout 1, linear 10", "probability '1' is not in [0, 1)"},
           {"dropout 0.1, dropout 0.2, linear 10", "it follows another dropout"},
           {"conv 8 3", "the network ends in an image"},
           {"conv 8 3, flatten", "7200 outputs for 10 classes"},
           {"linear 9", "9 outputs for 10 classes"},
           {"conv 2000000000 1, flatten, linear 10", "has more than 2147483647 values"},
       }) {
    SCOPED_TRACE(layers);
    try {
      cifar(layers);
      ADD_FAILURE() << "was accepted";
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::usage);
      EXPECT_THAT(error.what(), testing::HasSubstr(says));
      EXPECT_FALSE(error.remedy().empty());
    }
  }
}

TEST(Layers, ImagesAreAskedFor) {
  try {
    make_cnn(std::nullopt, 20, 2);
    ADD_FAILURE() << "was accepted";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("rows of 20 features, not images"));
  }
}

TEST(Layers, ANamedNetworkThatDoesNotFitIsNamed) {
  const ImageShape digits{1, 8, 8};
  try {
    make_cnn(digits, digits.size(), 10);
    ADD_FAILURE() << "was accepted";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), testing::StartsWith("--model cnn: layer 6 ('maxpool 2')"));
    EXPECT_THAT(error.remedy(), testing::HasSubstr("--layers"));
  }
}

TEST(Layers, ConfigurationChoosesAModel) {
  ModelConfig config;
  config.model = "cnn";
  EXPECT_EQ(make_model(config, kCifar.size(), 10, kCifar).kind, "cnn");
  config.model = "lenet";
  EXPECT_EQ(make_model(config, 784, 10, kMnist).kind, "lenet");
  config.model = "mlp";
  config.layers = "conv 4 3, flatten, linear 10";
  EXPECT_EQ(make_model(config, 784, 10, kMnist).kind, "layers");
  config.dropout = 0.5;
  EXPECT_THROW(make_model(config, 784, 10, kMnist), Error);
  config.dropout = 0.0;
  config.model = "lenet";
  EXPECT_THROW(make_model(config, 784, 10, kMnist), Error);
}

TEST(Layers, ParametersLieInOrderAndStartFromBoundsOfTheirFanIn) {
  const Model model = cifar("conv 5 3, relu, maxpool 2, flatten, linear 10");
  const ParameterLayout layout(model);
  ASSERT_EQ(layout.tensors().size(), 4u);
  EXPECT_EQ(layout.tensors()[0].name, "layers.0.weight");
  EXPECT_EQ(layout.tensors()[0].shape, (std::vector<int64_t>{5, 3, 3, 3}));
  EXPECT_EQ(layout.tensors()[0].rows(), 5);
  EXPECT_EQ(layout.tensors()[0].columns(), 27);
  EXPECT_EQ(layout.tensors()[2].name, "layers.3.weight");
  EXPECT_EQ(layout.tensors()[2].shape, (std::vector<int64_t>{10, 5 * 15 * 15}));
  std::vector<float> values(layout.size());
  initialize(model, layout, 3, values);
  const auto first = std::span(values).first(135);
  const float bound = std::sqrt(6.0f / 27.0f);
  EXPECT_LE(*std::max_element(first.begin(), first.end()), bound);
  EXPECT_GT(*std::max_element(first.begin(), first.end()), 0.9f * bound);
  EXPECT_EQ(values[layout.tensors()[1].offset], 0.0f);
}

TEST(Layers, BrokenModelsAreNamed) {
  const Model good = make_cnn(kCifar, kCifar.size(), 10);
  Model model = good;
  std::get<Conv2d>(model.layers[2]).input.channels = 31;
  EXPECT_EQ(problem_with(model), "layer 2: its input is not what the layer before it puts out");
  model = good;
  std::get<Conv2d>(model.layers[0]).padding = 3;
  EXPECT_THAT(problem_with(model), testing::HasSubstr("padding of 3"));
  model = good;
  std::get<Pool2d>(model.layers[1]).kernel = 31;
  EXPECT_EQ(problem_with(model), "layer 1: its output is empty or too large");
  model = good;
  model.image.reset();
  EXPECT_EQ(problem_with(model), "layer 0: its input is not an image");
  model = good;
  model.layers.erase(model.layers.begin() + 4);
  EXPECT_EQ(problem_with(model), "layer 4: a linear layer's input is an image");
  model = good;
  std::get<Conv2d>(model.layers[0]).kernel_height = int64_t{1} << 31;
  EXPECT_NE(problem_with(model), "");
}

}  // namespace
}  // namespace lockstep
