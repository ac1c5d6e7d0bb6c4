#include "train/divergence.h"

#include <fmt/format.h>

#include <cmath>

namespace lockstep {

Error diverged(const BadStep& bad, const std::string& weights) {
  std::string message = fmt::format(
      "training diverged: the loss is {} at step {} of epoch {} (global step {}, learning rate "
      "{:g})",
      std::isnan(bad.loss) ? "not a number" : "infinite", bad.step % bad.steps_per_epoch + 1,
      bad.step / bad.steps_per_epoch + 1, bad.step + 1, bad.learning_rate);
  if (!weights.empty()) message += "; " + weights;
  return {ErrorKind::diverged, message,
          "use a smaller --lr, a --warmup-epochs, or --normalize standard"};
}

std::string weights_in_words(const ParameterLayout& layout,
                             std::span<const ValueSummary> summaries) {
  size_t largest = 0;
  for (size_t t = 0; t < summaries.size(); ++t) {
    const TensorSpec& tensor = layout.tensors()[t];
    if (summaries[t].not_finite > 0) {
      return fmt::format("the weights before it: {} of the {} values of {} are not finite",
                         summaries[t].not_finite, tensor.size, tensor.name);
    }
    if (summaries[t].largest > summaries[largest].largest) largest = t;
  }
  if (summaries.empty()) return {};
  return fmt::format("the weights before it are finite, the largest {:.3g}, in {}",
                     summaries[largest].largest, layout.tensors()[largest].name);
}

}  // namespace lockstep
