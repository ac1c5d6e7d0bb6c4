// Runs one training: one worker per device, the strategy that the configuration names.
#pragma once

#include <atomic>
#include <functional>
#include <memory>

#include "lockstep/checkpoint.h"
#include "lockstep/config.h"
#include "lockstep/dataset.h"
#include "lockstep/model.h"
#include "lockstep/result.h"
#include "lockstep/trace.h"

namespace lockstep {

// Progress of a running training, for a bar or a log line.
struct Progress {
  int64_t epoch = 0, epochs = 0;          // 1-based
  int64_t step = 0, steps_per_epoch = 0;  // global batches done in this epoch
  int64_t samples = 0;                    // done in this epoch
  double loss = 0.0;                      // running mean of worker 0's samples
  double samples_per_second = 0.0;
};

// Called on worker 0's thread, between steps (at most about ten times a second) and after each
// epoch. Must not block for long: its time is not counted as training, but the others wait.
struct TrainObserver {
  std::function<void(const Progress&)> on_progress;
  std::function<void(const EpochRecord&)> on_epoch;
  std::function<void(const std::string&)> on_warning;
  std::function<void(const std::string&)> on_note;  // what was measured and chosen at the start
};

struct TrainedModel {
  RunResult result;
  Checkpoint checkpoint;  // final (or best, with keep_best) values; training state where it stopped
  std::optional<Trace> trace;  // with Config::trace, on rank 0: of all ranks
};

// Builds the model that the configuration names for data of so many features and classes. `image`
// is their shape where they are images.
Model make_model(const ModelConfig& config, int64_t features, int classes,
                 const std::optional<ImageShape>& image = std::nullopt);

// Throws what train() would refuse before it starts: Error{data} for data without labels or with
// other features than the model's, Error{usage} for options that this model has no use for.
void require_trainable(const Resolved& resolved, const Dataset& dataset, const Model& model);

// Trains. `stop`, where not null, is polled every step: non-zero ends the run within a step with
// status interrupted. Throws Error; kind `diverged` names the step. With config.out set,
// checkpoints go to `out/checkpoints/`. `resume` continues a training state (position, optimizer).
TrainedModel train(const Resolved& resolved, const Dataset& dataset, const Model& model,
                   const TrainObserver& observer = {}, const std::atomic<int>* stop = nullptr,
                   const Checkpoint* resume = nullptr);

struct EvaluateOptions {
  int threads = 1;      // of the CPU
  DeviceChoice device;  // on GPUs: all of them, and `threads` means nothing
  bool keep_logits = false;
};

// Loss and accuracy of `values` on `split`, dropout off, over fixed blocks of samples: the same
// whatever `threads`. Empty labels give an accuracy of 0 and a loss of 0.
struct Predictions {
  Evaluation evaluation;
  Buffer<float> logits;  // [split.size(), outputs] where asked for
};
Predictions evaluate(const Model& model, const Normalization& normalization, const Split& split,
                     std::span<const float> values, const EvaluateOptions& options);

}  // namespace lockstep
