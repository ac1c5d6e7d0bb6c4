#include "lockstep/error.h"
#include "lockstep/trainer.h"

namespace lockstep {

Model make_model(const ModelConfig& config, int64_t features, int classes,
                 const std::optional<ImageShape>& image) {
  const bool mlp = config.model == "mlp";
  if (!config.layers.empty() && !mlp) {
    throw Error(ErrorKind::usage,
                "--layers describes a network, and --model " + config.model + " names another",
                "leave one of them out");
  }
  if (config.dropout != 0.0 && (!mlp || !config.layers.empty())) {
    const std::string other = config.layers.empty() ? "--model " + config.model : "--layers";
    throw Error(ErrorKind::usage,
                "--dropout is for the hidden layers of --model mlp, not for " + other,
                config.model == "logistic" ? "leave --dropout out, or use --model mlp"
                                           : "write 'dropout P' where it belongs in --layers");
  }
  if (!config.layers.empty()) return make_layers(config.layers, image, features, classes);
  if (mlp) return make_mlp(features, config.hidden, classes, config.dropout);
  if (config.model == "logistic") return make_logistic(features, classes);
  if (config.model == "cnn") return make_cnn(image, features, classes);
  if (config.model == "lenet") return make_lenet(image, features, classes);
  throw Error(ErrorKind::usage, "--model " + config.model + " is not a model",
              "use --model logistic, mlp, cnn or lenet, or describe one with --layers");
}

}  // namespace lockstep
