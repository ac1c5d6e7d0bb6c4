#include "train/training_state.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <system_error>

#include "lockstep/error.h"
#include "train/history_json.h"

namespace lockstep {

namespace fs = std::filesystem;

namespace {

bool same_layers(const Model& a, const Model& b) {
  const ParameterLayout left(a), right(b);
  if (a.loss != b.loss || left.tensors().size() != right.tensors().size()) return false;
  for (size_t i = 0; i < left.tensors().size(); ++i) {
    if (left.tensors()[i].shape != right.tensors()[i].shape) return false;
  }
  return true;
}

}  // namespace

void collect_values(Run& run) {
  const Run::Slot& own = run.slots[run.first_worker];
  if (!run.shares_weights()) {
    std::copy(own.values.begin(), own.values.end(), run.values.begin());
  }
  switch (run.state_merge) {
    case StateMerge::shared: break;
    case StateMerge::first: std::copy(own.state.begin(), own.state.end(), run.state.begin()); break;
    case StateMerge::mean: run.merge_states(static_cast<float>(run.slots.size())); break;
    case StateMerge::sum: run.merge_states(1.0f); break;
  }
}

Checkpoint make_checkpoint(const Run& run, const TrainingPosition& position) {
  Checkpoint checkpoint;
  checkpoint.model = run.model;
  checkpoint.normalization = run.dataset.normalization;
  checkpoint.class_names = run.dataset.class_names;
  checkpoint.image = run.dataset.image;
  checkpoint.seed = run.config.seed;
  checkpoint.values = run.logical(run.values.span());
  checkpoint.position = position;
  checkpoint.config_json = run.resolved.config_json;
  checkpoint.history_json = history_to_json(run.book.epochs()).dump();
  checkpoint.optimizer_kind = to_string(run.config.optimizer.kind);
  checkpoint.state_count = run.config.optimizer.state_count();
  checkpoint.state = run.logical(run.state.span());
  checkpoint.best_values = run.logical(run.book.best_values().span());
  return checkpoint;
}

void save_training_state(const Run& run, const TrainingPosition& position) {
  if (!run.writes()) return;
  const fs::path folder = fs::path(run.config.out) / "checkpoints";
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) {
    throw Error(ErrorKind::runtime,
                fmt::format("cannot create {}: {}", folder.string(), error.message()),
                "give --out a folder that can be written to");
  }
  const std::string name = fmt::format("step-{:010}.safetensors", position.global_step);
  save_checkpoint((folder / name).string(), make_checkpoint(run, position));
}

std::string find_training_state(const std::string& path) {
  std::error_code error;
  if (fs::is_regular_file(path, error)) return path;
  std::string newest;
  for (const auto& entry : fs::directory_iterator(fs::path(path) / "checkpoints", error)) {
    const std::string name = entry.path().filename().string();
    const bool is_state = name.starts_with("step-") && name.ends_with(".safetensors");
    if (is_state && entry.path().string() > newest) newest = entry.path().string();
  }
  if (newest.empty()) {
    throw Error(ErrorKind::data,
                fmt::format("{}: neither a checkpoint file nor a folder with "
                            "checkpoints/step-*.safetensors",
                            path),
                "--resume takes the --out folder of a run that saved checkpoints "
                "(--checkpoint-every), or one of its checkpoint files");
  }
  return newest;
}

void resume_run(Run& run, const Checkpoint& checkpoint) {
  const auto refuse = [](const std::string& what) {
    throw Error(ErrorKind::usage, "cannot resume: " + what,
                "resume with the configuration of the interrupted run (its config.toml)");
  };
  if (!checkpoint.position) refuse("the checkpoint holds a model but no training state");
  if (!same_layers(checkpoint.model, run.model)) refuse("the checkpoint's model has other layers");
  const int states = run.config.optimizer.state_count();
  if (checkpoint.optimizer_kind != to_string(run.config.optimizer.kind) ||
      checkpoint.state_count != states) {
    refuse(
        fmt::format("the checkpoint's optimizer is {} with {} states a parameter, this run's {} "
                    "with {}",
                    checkpoint.optimizer_kind, checkpoint.state_count,
                    to_string(run.config.optimizer.kind), states));
  }
  if (checkpoint.seed != run.config.seed) refuse("the checkpoint was trained with another --seed");
  if (checkpoint.position->global_batch != run.resolved.global_batch) {
    refuse(fmt::format("the checkpoint's global batch is {}, this run's {}",
                       checkpoint.position->global_batch, run.resolved.global_batch));
  }
  const TrainingPosition& at = *checkpoint.position;
  if (at.train_samples != run.sampler.size()) {
    refuse(fmt::format("the checkpoint's training part has {} samples, this run's {}",
                       at.train_samples, run.sampler.size()));
  }
  if (at.step >= run.steps_per_epoch ||
      at.global_step != at.epoch * run.steps_per_epoch + at.step) {
    refuse(
        fmt::format("the checkpoint's position (epoch {}, step {}, global step {}) contradicts "
                    "its {} steps an epoch",
                    at.epoch, at.step, at.global_step, run.steps_per_epoch));
  }
  from_logical(run.layout, checkpoint.values.span(), run.values.span());
  from_logical(run.layout, checkpoint.state.span(), run.state.span());
  run.start = run.reached = *checkpoint.position;
  Buffer<float> best_values(checkpoint.best_values.size());
  from_logical(run.layout, checkpoint.best_values.span(), best_values.span());
  const std::string history = checkpoint.history_json.empty() ? "[]" : checkpoint.history_json;
  try {
    run.book.restore(history_from_json(nlohmann::json::parse(history)), best_values.span());
  } catch (const nlohmann::json::exception& error) {
    throw Error(ErrorKind::data,
                fmt::format("the checkpoint's history is not valid: {}", error.what()));
  }
}

}  // namespace lockstep
