// Loss and accuracy of a model on a whole part, over fixed blocks of samples.
#include <algorithm>
#include <vector>

#include "lockstep/trainer.h"
#include "train/run.h"
#include "train/team.h"

namespace lockstep {

namespace {

int64_t outputs_of(const Model& model) {
  return model.loss == Loss::binary_cross_entropy ? 1 : model.classes;
}

}  // namespace

Predictions evaluate(const Model& model, const Normalization& normalization, const Split& split,
                     std::span<const float> values, const EvaluateOptions& how) {
  const ParameterLayout layout(model);
  const int64_t outputs = outputs_of(model);
  Predictions predictions;
  if (how.keep_logits) predictions.logits = Buffer<float>(split.size() * outputs);
  const int64_t blocks = (split.size() + Run::kEvalBlock - 1) / Run::kEvalBlock;
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
    for (int64_t block = rank; block < blocks; block += group.size()) {
      Batch batch;
      batch.data = &split;
      batch.contiguous = true;
      batch.contiguous_range = {block * Run::kEvalBlock,
                                std::min((block + 1) * Run::kEvalBlock, split.size())};
      std::span<float> logits;
      if (how.keep_logits) {
        logits = predictions.logits.span().subspan(batch.contiguous_range.begin * outputs,
                                                   batch.size() * outputs);
      }
      metrics[block] = step->evaluate(batch, logits);
    }
  });

  BatchMetrics total;
  for (const BatchMetrics& block : metrics) total += block;
  if (total.count > 0) {
    predictions.evaluation.loss = total.loss / static_cast<double>(total.count);
    predictions.evaluation.accuracy =
        static_cast<double>(total.correct) / static_cast<double>(total.count);
  }
  return predictions;
}

}  // namespace lockstep
