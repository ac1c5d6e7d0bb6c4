// The C++ side of checkpoint_python_test.py:
//   checkpoint_sample write FOLDER   mlp.safetensors, logistic.safetensors, state.safetensors, and
//   a
//                                    .json beside each: tensors, inputs and the logits they give
//   checkpoint_sample hash FILE      the SHA-256 of the parameters of FILE
#include <cstdio>
#include <exception>
#include <nlohmann/json.hpp>
#include <string_view>

#include "train/checkpoint_fixture.h"

namespace lockstep {
namespace {

using Json = nlohmann::json;

// Logits of one raw row in float64, dropout off.
std::vector<double> logits_of(const Checkpoint& checkpoint, std::vector<double> x) {
  const Normalization& normalization = checkpoint.normalization;
  for (size_t i = 0; i < x.size() && !normalization.identity(); ++i) {
    x[i] = x[i] * double{normalization.scale[i]} + double{normalization.offset[i]};
  }
  const ParameterLayout layout(checkpoint.model);
  for (size_t i = 0; i < checkpoint.model.layers.size(); ++i) {
    const auto* linear = std::get_if<Linear>(&checkpoint.model.layers[i]);
    if (!linear) continue;
    const float* weight = checkpoint.values.data() + layout.weight(static_cast<int>(i)).offset;
    const float* bias = checkpoint.values.data() + layout.bias(static_cast<int>(i)).offset;
    std::vector<double> y(static_cast<size_t>(linear->outputs));
    for (size_t o = 0; o < y.size(); ++o) {
      y[o] = double{bias[o]};
      for (size_t k = 0; k < x.size(); ++k) y[o] += double{weight[o * x.size() + k]} * x[k];
      if (linear->activation == Activation::relu && y[o] < 0.0) y[o] = 0.0;
    }
    x = std::move(y);
  }
  return x;
}

void write_sample(const std::string& folder, const std::string& name,
                  const Checkpoint& checkpoint) {
  const ParameterLayout layout(checkpoint.model);
  Json expected = {{"tensors", Json::object()},
                   {"inputs", Json::array()},
                   {"logits", Json::array()},
                   {"sha256", sha256_of(layout, checkpoint.values.span())}};
  for (const TensorSpec& tensor : layout.tensors()) {
    const float* first = checkpoint.values.data() + tensor.offset;
    expected["tensors"][tensor.name] = {{"shape", tensor.shape},
                                        {"values", std::vector<float>(first, first + tensor.size)}};
  }
  for (int row = 0; row < 8; ++row) {
    std::vector<double> x;
    for (int64_t i = 0; i < checkpoint.model.inputs; ++i)
      x.push_back(0.25 * ((row * 7 + i * 3) % 11) - 1);
    expected["inputs"].push_back(x);
    expected["logits"].push_back(logits_of(checkpoint, x));
  }
  save_checkpoint(folder + "/" + name + ".safetensors", checkpoint);
  write_bytes(folder + "/" + name + ".json", expected.dump());
}

void write_samples(const std::string& folder) {
  Checkpoint mlp = final_model();
  mlp.normalization = {Normalize::standard, {1, 2, 0.5f, 1, 1, 3}, {0, 1, 0, -1, 0.5f, 0}};
  const ParameterLayout layout(mlp.model);
  initialize(mlp.model, layout, 7, mlp.values.span());
  for (const int layer : {0, 2, 4}) mlp.values[layout.bias(layer).offset] = 0.5f;
  write_sample(folder, "mlp", mlp);

  Checkpoint logistic;
  logistic.model = make_logistic(4, 2);
  logistic.values = Buffer<float>(ParameterLayout(logistic.model).size());
  fill_parameters(ParameterLayout(logistic.model), 0.3f, logistic.values.span());
  write_sample(folder, "logistic", logistic);

  save_checkpoint(folder + "/state.safetensors", training_state());
}

}  // namespace
}  // namespace lockstep

int main(int argc, char** argv) {
  using namespace lockstep;
  try {
    const std::string_view command = argc == 3 ? argv[1] : "";
    if (command == "write") {
      write_samples(argv[2]);
      return 0;
    }
    if (command == "hash") {
      const Checkpoint checkpoint = load_checkpoint(argv[2]);
      std::puts(sha256_of(ParameterLayout(checkpoint.model), checkpoint.values.span()).c_str());
      return 0;
    }
    std::fputs("usage: checkpoint_sample write FOLDER | hash FILE\n", stderr);
    return 2;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
