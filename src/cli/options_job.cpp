// The options that say what is trained: data, model, optimizer.
#include "cli/options.h"

namespace lockstep::cli {

std::vector<Option> data_options() {
  const auto data = [](auto... arguments) { return row(Section::data, arguments...); };
  std::vector<Option> rows = {
      data(
          "data", "SPEC", "training data: digits, mnist[:DIR], csv:FILE, synthetic:n=..,d=.., ...",
          [](auto& s) -> auto& { return s.config.data.data; }),
      data(
          "test-data", "SPEC", "test data; without it the data's own test part, if it has one",
          [](auto& s) -> auto& { return s.config.data.test_data; }),
      data(
          "test-fraction", "F", "split this fraction off the training data as test data",
          [](auto& s) -> auto& { return s.config.data.test_fraction; }),
      data(
          "samples", "N", "use only the first N training samples; 0 uses all",
          [](auto& s) -> auto& { return s.config.data.samples; }),
      data(
          "normalize", "KIND", "none, unit, standard or mean=A,std=B; auto is unit for bytes",
          [](auto& s) -> auto& { return s.config.data.normalize; }),
      data(
          "augment", "KIND", "none, flip, crop:N or flip,crop:N: training images at random",
          [](auto& s) -> auto& { return s.config.data.augment; }),
      data(
          "shuffle", "KIND", "epoch (a new order each epoch) or none",
          [](auto& s) -> auto& { return s.config.data.shuffle; }),
  };
  for (Option& option : rows) option.commands |= kDataInfo;
  rows[0].commands = kTraining | kEval | kPredict;
  rows[1].excludes = "test-fraction";
  rows[2].excludes = "test-data";
  return rows;
}

std::vector<Option> model_options() {
  const auto model = [](auto... arguments) { return row(Section::model, arguments...); };
  return {
      model(
          "model", "NAME", "logistic, mlp, cnn or lenet",
          [](auto& s) -> auto& { return s.config.model.model; }),
      model(
          "layers", "TEXT", "a network of your own: conv 32 3, relu, maxpool 2, flatten, linear 10",
          [](auto& s) -> auto& { return s.config.model.layers; }),
      model(
          "hidden", "N,N,...", "widths of the MLP's hidden layers",
          [](auto& s) -> auto& { return s.config.model.hidden; }),
      model(
          "dropout", "P", "drop hidden units with probability P while training",
          [](auto& s) -> auto& { return s.config.model.dropout; }),
      model(
          "precision", "KIND", "fp32 or bf16 (an MLP needs AVX512_BF16 or AMX)",
          [](auto& s) -> auto& { return s.config.model.precision; }),
  };
}

namespace {

std::vector<Option> update_rule_options() {
  const auto optimizer = [](auto... arguments) { return row(Section::optimizer, arguments...); };
  return {
      optimizer(
          "optimizer", "NAME", "sgd, adam or adamw",
          [](auto& s) -> auto& { return s.config.optimizer.kind; }),
      optimizer(
          "lr", "RATE", "learning rate",
          [](auto& s) -> auto& { return s.config.optimizer.learning_rate; }),
      optimizer(
          "momentum", "M", "momentum of SGD",
          [](auto& s) -> auto& { return s.config.optimizer.momentum; }),
      optimizer(
          "nesterov", "", "Nesterov's momentum",
          [](auto& s) -> auto& { return s.config.optimizer.nesterov; }),
      optimizer(
          "weight-decay", "D", "L2 penalty; decoupled with adamw",
          [](auto& s) -> auto& { return s.config.optimizer.weight_decay; }),
      optimizer(
          "beta1", "B", "Adam: decay of the mean",
          [](auto& s) -> auto& { return s.config.optimizer.beta1; }),
      optimizer(
          "beta2", "B", "Adam: decay of the variance",
          [](auto& s) -> auto& { return s.config.optimizer.beta2; }),
      optimizer(
          "epsilon", "E", "Adam: added to the denominator",
          [](auto& s) -> auto& { return s.config.optimizer.epsilon; }),
      optimizer(
          "schedule", "KIND", "constant, cosine or step:EPOCHS[:FACTOR]",
          [](auto& s) -> auto& { return s.config.schedule; }),
      optimizer(
          "warmup-epochs", "E", "go from the rate to the scaled rate step by step",
          [](auto& s) -> auto& { return s.config.schedule.warmup_epochs; }),
      optimizer(
          "scale-lr", "RULE", "linear, sqrt or none: with the workers of --per-worker-batch",
          [](auto& s) -> auto& { return s.config.scale_lr; }),
  };
}

std::vector<Option> length_options() {
  const auto length = [](auto... arguments) { return row(Section::optimizer, arguments...); };
  return {
      length(
          "epochs", "N", "passes over the training data",
          [](auto& s) -> auto& { return s.config.epochs; }),
      length(
          "batch-size", "N", "samples in a global batch, shared out to the workers",
          [](auto& s) -> auto& { return s.config.batch_size; }),
      length(
          "per-worker-batch", "N", "samples of each worker: the global batch grows with them",
          [](auto& s) -> auto& { return s.config.per_worker_batch; }),
      length(
          "accumulate", "N", "compute a worker's share in N parts, one after the other",
          [](auto& s) -> auto& { return s.config.accumulate; }),
      length(
          "seed", "N", "initial weights, order of samples, dropout",
          [](auto& s) -> auto& { return s.config.seed; }),
      length(
          "init", "FILE", "start from this checkpoint's weights",
          [](auto& s) -> auto& { return s.config.init; }),
  };
}

Option* find(std::vector<Option>& rows, std::string_view key) {
  for (Option& option : rows) {
    if (option.key == key) return &option;
  }
  return nullptr;
}

}  // namespace

std::vector<Option> optimizer_options() {
  std::vector<Option> rows = update_rule_options();
  for (Option& option : length_options()) rows.push_back(std::move(option));
  find(rows, "lr")->default_text = "0.1; adam and adamw 0.001";
  find(rows, "batch-size")->default_text = "64";
  find(rows, "batch-size")->excludes = "per-worker-batch";
  find(rows, "per-worker-batch")->excludes = "batch-size";
  find(rows, "init")->excludes = "resume";
  find(rows, "seed")->commands |= kDataInfo;
  return rows;
}

}  // namespace lockstep::cli
