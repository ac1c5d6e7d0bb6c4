// Loss and accuracy of a model on a whole part, over fixed blocks of samples.
#include "train/evaluate.h"

#include <algorithm>
#include <vector>

#include "train/run.h"
#include "train/team.h"

namespace lockstep {

namespace {

int64_t outputs_of(const Model& model) {
  return model.loss == Loss::binary_cross_entropy ? 1 : model.classes;
}

// Which blocks: every `stride`-th from `first` on.
struct Blocks {
  int64_t first = 0;
  int64_t stride = 1;
};

int64_t blocks_of(const Split& split) {
  return (split.size() + Run::kEvalBlock - 1) / Run::kEvalBlock;
}

// The metrics of those blocks; of others, zeros. `logits`, where not empty, are of the whole part.
std::vector<BatchMetrics> evaluate_blocks(const Model& model, const Normalization& normalization,
                                          const Split& split, std::span<const float> values,
                                          const EvaluateOptions& how, Blocks which,
                                          std::span<float> logits) {
  const ParameterLayout layout(model);
  const int64_t outputs = outputs_of(model);
  const int64_t blocks = blocks_of(split);
  std::vector<BatchMetrics> metrics(blocks);
  Buffer<float> weights(values.size());
  std::copy(values.begin(), values.end(), weights.begin());

  const int workers = how.device.on_gpu() ? static_cast<int>(how.device.gpus.size()) : how.threads;
  ThreadGroup group(static_cast<int>(std::clamp<int64_t>(workers, 1, std::max<int64_t>(blocks, 1))),
                    60.0, workers);
  run_team(group, {}, [&](int rank) {
    StepOptions options;
    options.max_batch = Run::kEvalBlock;
    options.evaluate_only = true;
    const auto backend = make_backend(how.device, rank);
    const auto step =
        backend->compile(model, layout, normalization, {weights.span(), {}, {}}, options);
    for (int64_t block = which.first + rank * which.stride; block < blocks;
         block += group.size() * which.stride) {
      Batch batch;
      batch.data = &split;
      batch.contiguous = true;
      batch.contiguous_range = {block * Run::kEvalBlock,
                                std::min((block + 1) * Run::kEvalBlock, split.size())};
      std::span<float> rows;
      if (!logits.empty()) {
        rows = logits.subspan(batch.contiguous_range.begin * outputs, batch.size() * outputs);
      }
      metrics[block] = step->evaluate(batch, rows);
    }
  });
  return metrics;
}

Evaluation mean_of(const std::vector<BatchMetrics>& blocks) {
  BatchMetrics total;
  for (const BatchMetrics& block : blocks) total += block;
  if (total.count == 0) return {};
  const auto count = static_cast<double>(total.count);
  return {total.loss / count, static_cast<double>(total.correct) / count};
}

}  // namespace

Predictions evaluate(const Model& model, const Normalization& normalization, const Split& split,
                     std::span<const float> values, const EvaluateOptions& how) {
  Predictions predictions;
  if (how.keep_logits) predictions.logits = Buffer<float>(split.size() * outputs_of(model));
  predictions.evaluation = mean_of(
      evaluate_blocks(model, normalization, split, values, how, {}, predictions.logits.span()));
  return predictions;
}

Evaluation evaluate_together(const Model& model, const Normalization& normalization,
                             const Split& split, std::span<const float> values,
                             const EvaluateOptions& options, ProcessGroup& processes) {
  const auto ranks = static_cast<size_t>(processes.size());
  std::vector<BatchMetrics> metrics = evaluate_blocks(model, normalization, split, values, options,
                                                      {processes.rank(), processes.size()}, {});
  const size_t blocks = metrics.size();
  const auto all = processes.all_gather(std::span<const BatchMetrics>(metrics));
  for (size_t block = 0; block < blocks; ++block) {
    metrics[block] = all[block % ranks * blocks + block];
  }
  return mean_of(metrics);
}

}  // namespace lockstep
