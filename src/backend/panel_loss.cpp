#include "backend/panel_loss.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/panel_loss.cpp"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
//
#include "backend/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lockstep {
namespace HWY_NAMESPACE {
namespace {

constexpr int64_t kStep = static_cast<int64_t>(kLanes);

// One panel: labels in, losses and predictions out, a lane each.
struct LaneLosses {
  HWY_ALIGN float label[kPanelSamples];
  HWY_ALIGN float chosen[kPanelSamples];  // the label's own logit
  HWY_ALIGN float loss[kPanelSamples];
  HWY_ALIGN float predicted[kPanelSamples];
};

// The largest logit of kLanes samples and its class; a NaN that comes first stays.
HWY_INLINE Floats largest(const float* logits, int64_t classes, Floats& predicted) {
  const FloatTag d;
  FloatVector maximum = hn::LoadU(d, logits);
  FloatVector best = hn::Zero(d);
  for (int64_t j = 1; j < classes; ++j) {
    const FloatVector logit = hn::LoadU(d, logits + j * kPanelSamples);
    const auto larger = hn::Gt(logit, maximum);
    maximum = hn::IfThenElse(larger, logit, maximum);
    best = hn::IfThenElse(larger, hn::Set(d, static_cast<float>(j)), best);
  }
  predicted = Floats(hn::IfThenElse(hn::Eq(maximum, maximum), best, hn::Set(d, -1.0f)));
  return Floats(maximum);
}

// log-sum-exp shifted by the maximum, for kLanes samples; `powers` receives e^(logit - maximum).
template <bool gradient>
HWY_INLINE void softmax_lanes(const float* logits, int64_t classes, int64_t lane, LaneLosses& lanes,
                              float* powers) {
  Floats predicted;
  const Floats maximum = largest(logits, classes, predicted);
  Floats sum(0.0f);
  for (int64_t j = 0; j < classes; ++j) {
    const Floats power = exp(load(logits + j * kPanelSamples) - maximum);
    sum = sum + power;
    if constexpr (gradient) store(power, powers + j * kPanelSamples);
  }
  store(predicted, lanes.predicted + lane);
  store(log(sum) + (maximum - load(lanes.chosen + lane)), lanes.loss + lane);
  if constexpr (gradient) {
    const Floats inverse = Floats(1.0f) / sum;
    for (int64_t j = 0; j < classes; ++j) {
      store(load(powers + j * kPanelSamples) * inverse, powers + j * kPanelSamples);
    }
  }
}

template <bool gradient>
HWY_INLINE void binary_lanes(const float* logits, int64_t lane, LaneLosses& lanes,
                             float* gradients) {
  const FloatTag d;
  const Floats logit = load(logits);
  const Floats label = load(lanes.label + lane);
  const auto positive = hn::Gt(logit.raw, hn::Zero(d));
  const FloatVector predicted = hn::IfThenElse(positive, hn::Set(d, 1.0f), hn::Zero(d));
  const auto number = hn::Eq(logit.raw, logit.raw);
  store(Floats(hn::IfThenElse(number, predicted, hn::Set(d, -1.0f))), lanes.predicted + lane);
  store(binary_cross_entropy(logit, label), lanes.loss + lane);
  if constexpr (gradient) store(sigmoid(logit) - label, gradients);
}

HWY_INLINE void load_labels(const Batch& batch, ConstPanels logits, int64_t p, LaneLosses& lanes) {
  const int32_t* labels = batch.data->labels.data();
  for (int64_t i = 0; i < kPanelSamples; ++i) {
    const int32_t label =
        i < logits.samples_in(p) ? labels[batch.sample(p * kPanelSamples + i)] : 0;
    lanes.label[i] = static_cast<float>(label);
    lanes.chosen[i] = logits.features > 1 ? logits.panel(p)[label * kPanelSamples + i] : 0.0f;
  }
}

HWY_INLINE void add_lanes(const LaneLosses& lanes, int64_t samples, BatchMetrics& metrics) {
  for (int64_t i = 0; i < samples; ++i) {
    metrics.loss += lanes.loss[i];
    metrics.correct += lanes.predicted[i] == lanes.label[i];
  }
}

// Softmax: one is taken off the label's probability. Then lanes without a sample are cleared.
HWY_INLINE void finish_gradient(Loss loss, const LaneLosses& lanes, int64_t samples, Panels logits,
                                int64_t p) {
  float* gradients = logits.panel(p);
  if (loss == Loss::softmax_cross_entropy) {
    for (int64_t i = 0; i < samples; ++i) {
      gradients[static_cast<int64_t>(lanes.label[i]) * kPanelSamples + i] -= 1.0f;
    }
  }
  if (samples == kPanelSamples) return;
  for (int64_t j = 0; j < logits.features; ++j) {
    std::fill(gradients + j * kPanelSamples + samples, gradients + (j + 1) * kPanelSamples, 0.0f);
  }
}

template <bool gradient>
HWY_INLINE BatchMetrics run(Loss loss, const Batch& batch, ConstPanels logits, float* gradients) {
  BatchMetrics metrics;
  metrics.count = logits.samples;
  LaneLosses lanes;
  for (int64_t p = 0; p < logits.count(); ++p) {
    load_labels(batch, logits, p, lanes);
    for (int64_t lane = 0; lane < logits.width(p); lane += kStep) {
      const float* from = logits.panel(p) + lane;
      float* to = gradient ? gradients + p * logits.stride + lane : nullptr;
      if (loss == Loss::softmax_cross_entropy) {
        softmax_lanes<gradient>(from, logits.features, lane, lanes, to);
      } else {
        binary_lanes<gradient>(from, lane, lanes, to);
      }
    }
    const int64_t samples = logits.samples_in(p);
    add_lanes(lanes, samples, metrics);
    if constexpr (gradient) {
      const Panels in_place{gradients, logits.samples, logits.features, logits.stride};
      finish_gradient(loss, lanes, samples, in_place, p);
    }
  }
  return metrics;
}

BatchMetrics loss_alone(Loss loss, const Batch& batch, ConstPanels logits) {
  return run<false>(loss, batch, logits, nullptr);
}

BatchMetrics loss_backward(Loss loss, const Batch& batch, Panels logits) {
  return run<true>(loss, batch, logits, logits.data);
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace lockstep
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lockstep {

HWY_EXPORT(loss_alone);
HWY_EXPORT(loss_backward);

BatchMetrics panel_loss(Loss loss, const Batch& batch, ConstPanels logits) {
  BatchMetrics count;
  count.count = batch.size();
  if (count.count == 0 || batch.data->labels.empty()) return count;
  return HWY_DYNAMIC_DISPATCH(loss_alone)(loss, batch, logits);
}

BatchMetrics panel_loss_backward(Loss loss, const Batch& batch, Panels logits) {
  if (batch.size() == 0) return {};
  return HWY_DYNAMIC_DISPATCH(loss_backward)(loss, batch, logits);
}

}  // namespace lockstep
#endif  // HWY_ONCE
