#include "backend/panel_ops.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/panel_ops.cpp"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
//
#include "backend/philox-inl.h"
#include "backend/transpose-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lockstep {
namespace HWY_NAMESPACE {
namespace {

constexpr int64_t kStep = static_cast<int64_t>(kLanes);

void to_panels(ConstMatrix rows, Panels panels) {
  const FloatTag d;
  for (int64_t p = 0; p < panels.count(); ++p) {
    float* panel = panels.panel(p);
    for (int64_t lane = 0; lane < panels.width(p); lane += kStep) {
      const float* from = rows.row(p * kPanelSamples + lane);
      for (int64_t j = 0; j < panels.features; j += 4) {
        FloatVector columns[4];
        load_columns(d, from + j, rows.stride, columns);
        for (int i = 0; i < 4; ++i) {
          hn::StoreU(columns[i], d, panel + (j + i) * kPanelSamples + lane);
        }
      }
    }
  }
}

void to_rows(ConstPanels panels, Matrix rows) {
  const FloatTag d;
  for (int64_t p = 0; p < panels.count(); ++p) {
    const float* panel = panels.panel(p);
    for (int64_t lane = 0; lane < panels.width(p); lane += kStep) {
      float* to = rows.row(p * kPanelSamples + lane);
      for (int64_t j = 0; j < panels.features; j += 4) {
        FloatVector columns[4];
        for (int i = 0; i < 4; ++i) {
          columns[i] = hn::LoadU(d, panel + (j + i) * kPanelSamples + lane);
        }
        store_columns(d, columns, to + j, rows.stride);
      }
    }
  }
}

// The samples of a panel's lanes as the generator's counter wants them.
struct LaneCounters {
  HWY_ALIGN uint32_t sample[kPanelSamples];
  HWY_ALIGN uint32_t tag[kPanelSamples];

  LaneCounters(const RandomStream& stream, const Batch& batch, int64_t first) {
    for (int64_t i = 0; i < kPanelSamples; ++i) {
      const uint64_t index =
          first + i < batch.size() ? static_cast<uint64_t>(batch.sample(first + i)) : 0;
      sample[i] = static_cast<uint32_t>(index);
      tag[i] = (static_cast<uint32_t>(stream.purpose) << 24) |
               (static_cast<uint32_t>(stream.layer) << 16) |
               static_cast<uint32_t>((index >> 32) & 0xFFFFu);
    }
  }
};

// Zeroes the dropped ones of four units' lanes and scales the rest.
HWY_INLINE void drop(const DropoutKey& key, const LaneCounters& counters, int64_t unit,
                     int64_t lane, FloatVector (&units)[4]) {
  const WordTag d;
  const FloatTag df;
  const RandomStream& stream = key.stream;
  const PhiloxVectors drawn =
      philox({hn::Set(d, static_cast<uint32_t>(unit / 4)), hn::LoadU(d, counters.sample + lane),
              hn::Set(d, stream.epoch), hn::LoadU(d, counters.tag + lane)},
             static_cast<uint32_t>(stream.seed), static_cast<uint32_t>(stream.seed >> 32));
  const Words words[4] = {drawn.x, drawn.y, drawn.z, drawn.w};
  const Words threshold = hn::Set(d, key.threshold);
  const FloatVector scale = hn::Set(df, key.keep_scale);
  for (int i = 0; i < 4; ++i) {
    const auto dropped = hn::RebindMask(df, hn::Lt(words[i], threshold));
    units[i] = hn::IfThenElse(dropped, hn::Zero(df), hn::Mul(units[i], scale));
  }
}

template <bool relu, bool dropout>
HWY_INLINE void finish(const LayerEnd& end, const Batch& batch, Panels y, Matrix rows) {
  const FloatTag d;
  const FloatVector zero = hn::Zero(d);
  for (int64_t p = 0; p < y.count(); ++p) {
    const int64_t first = p * kPanelSamples;
    const LaneCounters counters(dropout ? end.dropout->stream : RandomStream{}, batch, first);
    for (int64_t unit = 0; unit < y.features; unit += 4) {
      for (int64_t lane = 0; lane < y.width(p); lane += kStep) {
        float* at = y.panel(p) + unit * kPanelSamples + lane;
        FloatVector units[4];
        for (int i = 0; i < 4; ++i) {
          units[i] = hn::LoadU(d, at + i * kPanelSamples);
          // max(0, y) would turn NaN into 0 and hide a diverged run.
          if constexpr (relu) units[i] = hn::IfThenElse(hn::Lt(units[i], zero), zero, units[i]);
        }
        if constexpr (dropout) drop(*end.dropout, counters, unit, lane, units);
        for (int i = 0; i < 4; ++i) hn::StoreU(units[i], d, at + i * kPanelSamples);
        if (rows.data) store_columns(d, units, rows.row(first + lane) + unit, rows.stride);
      }
    }
  }
}

void finish_plain(const LayerEnd& end, const Batch& batch, Panels y, Matrix rows) {
  finish<false, false>(end, batch, y, rows);
}
void finish_relu(const LayerEnd& end, const Batch& batch, Panels y, Matrix rows) {
  finish<true, false>(end, batch, y, rows);
}
void finish_dropout(const LayerEnd& end, const Batch& batch, Panels y, Matrix rows) {
  finish<false, true>(end, batch, y, rows);
}
void finish_relu_dropout(const LayerEnd& end, const Batch& batch, Panels y, Matrix rows) {
  finish<true, true>(end, batch, y, rows);
}

// A dropped unit is zero after ReLU too, so the sign of y tells all.
void relu_backward_panels(ConstPanels y, Panels dy, float scale) {
  const FloatTag d;
  const FloatVector factor = hn::Set(d, scale);
  for (int64_t p = 0; p < y.count(); ++p) {
    const float* outputs = y.panel(p);
    float* gradients = dy.panel(p);
    for (int64_t unit = 0; unit < y.features; ++unit) {
      for (int64_t lane = 0; lane < y.width(p); lane += kStep) {
        const int64_t i = unit * kPanelSamples + lane;
        const auto active = hn::Gt(hn::LoadU(d, outputs + i), hn::Zero(d));
        const FloatVector gradient = hn::Mul(factor, hn::LoadU(d, gradients + i));
        hn::StoreU(hn::IfThenElseZero(active, gradient), d, gradients + i);
      }
    }
  }
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace lockstep
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lockstep {

HWY_EXPORT(to_panels);
HWY_EXPORT(to_rows);
HWY_EXPORT(finish_plain);
HWY_EXPORT(finish_relu);
HWY_EXPORT(finish_dropout);
HWY_EXPORT(finish_relu_dropout);
HWY_EXPORT(relu_backward_panels);

void rows_to_panels(ConstMatrix rows, Panels panels) {
  HWY_DYNAMIC_DISPATCH(to_panels)(rows, panels);
}

void panels_to_rows(ConstPanels panels, Matrix rows) {
  HWY_DYNAMIC_DISPATCH(to_rows)(panels, rows);
}

void panels_to_rows(ConstPanels panels, float* rows) {
  for (int64_t i = 0; i < panels.samples; ++i) {
    const float* lane = panels.panel(i / kPanelSamples) + i % kPanelSamples;
    for (int64_t j = 0; j < panels.features; ++j) {
      rows[i * panels.features + j] = lane[j * kPanelSamples];
    }
  }
}

void finish_layer(const LayerEnd& end, const Batch& batch, Panels y, Matrix rows) {
  const bool relu = end.activation == Activation::relu;
  if (relu && end.dropout) return HWY_DYNAMIC_DISPATCH(finish_relu_dropout)(end, batch, y, rows);
  if (relu) return HWY_DYNAMIC_DISPATCH(finish_relu)(end, batch, y, rows);
  if (end.dropout) return HWY_DYNAMIC_DISPATCH(finish_dropout)(end, batch, y, rows);
  if (rows.data) HWY_DYNAMIC_DISPATCH(finish_plain)(end, batch, y, rows);
}

void finish_layer_backward(const LayerEnd& end, const Batch& batch, ConstPanels y, Panels dy) {
  if (end.activation == Activation::relu) {
    const float scale = end.dropout ? end.dropout->keep_scale : 1.0f;
    HWY_DYNAMIC_DISPATCH(relu_backward_panels)(y, dy, scale);
  } else if (end.dropout) {
    HWY_DYNAMIC_DISPATCH(finish_dropout)(end, batch, dy, {});
  }
}

}  // namespace lockstep
#endif  // HWY_ONCE
