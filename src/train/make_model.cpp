#include "lockstep/error.h"
#include "lockstep/trainer.h"

namespace lockstep {

Model make_model(const ModelConfig& config, int64_t features, int classes) {
  if (config.model == "mlp") return make_mlp(features, config.hidden, classes, config.dropout);
  if (config.model != "logistic") {
    throw Error(ErrorKind::usage, "--model " + config.model + " is not a model",
                "use --model logistic or --model mlp");
  }
  if (config.dropout != 0.0) {
    throw Error(ErrorKind::usage, "--dropout needs hidden layers; --model logistic has none",
                "leave --dropout out, or use --model mlp");
  }
  return make_logistic(features, classes);
}

}  // namespace lockstep
