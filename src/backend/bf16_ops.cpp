#include "backend/bf16_ops.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/bf16_ops.cpp"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
//
#include <algorithm>

#include "backend/bf16-inl.h"
#include "backend/transpose-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lockstep {
namespace HWY_NAMESPACE {
namespace {

constexpr int64_t kStep = static_cast<int64_t>(kLanes);

// max(0, y) would turn NaN into 0 and hide a diverged run.
HWY_INLINE Floats relu(Floats y) {
  const FloatVector zero = hn::Zero(FloatTag());
  return Floats(hn::IfThenElse(hn::Lt(y.raw, zero), zero, y.raw));
}

void round_rows_plain(ConstMatrix from, const RoundedRows& to, int64_t first) {
  for (int64_t i = 0; i < from.rows; i += 2) {
    store_row_pair(to, first + i, i + 1 < from.rows, from.columns,
                   [&](bool odd, auto load_at) HWY_ATTR { return load_at(from.row(i + odd)); });
  }
}

void round_rows_relu(ConstMatrix from, const RoundedRows& to, int64_t first) {
  for (int64_t i = 0; i < from.rows; i += 2) {
    store_row_pair(to, first + i, i + 1 < from.rows, from.columns,
                   [&](bool odd, auto load_at)
                       HWY_ATTR { return relu(load_at(from.row(i + odd))); });
  }
}

// Inputs [input, input + 8) of kLanes outputs.
constexpr int64_t kBlockInputs = 8;

HWY_INLINE void transposed_block(const float* w, int64_t stride, const PairedLayout& layout,
                                 Bf16* to) {
  const FloatTag d;
  for (int64_t half = 0; half < 2; ++half) {
    FloatVector inputs[4];
    load_columns(d, w + 4 * half, stride, inputs);
    for (int64_t pair = 0; pair < 2; ++pair) {
      Bf16* at = to + layout.index(4 * half + 2 * pair, 0);
      store_pairs(paired(rounded(inputs[2 * pair]), rounded(inputs[2 * pair + 1])), at);
    }
  }
}

void transposed(const float* w, const Paired& to) {
  const int64_t inputs = to.layout.rows, outputs = to.layout.columns;
  for (int64_t output = 0; output < outputs; output += kStep) {
    const int64_t rows = std::min(kStep, outputs - output);
    for (int64_t input = 0; input < inputs; input += kBlockInputs) {
      const int64_t columns = std::min(kBlockInputs, inputs - input);
      const float* from = w + output * inputs + input;
      Bf16* at = to.data + to.layout.index(input, output);
      if (rows == kStep && columns == kBlockInputs) {
        transposed_block(from, inputs, to.layout, at);
        continue;
      }
      HWY_ALIGN float block[kLanes * kBlockInputs] = {};
      for (int64_t r = 0; r < rows; ++r) {
        std::copy_n(from + r * inputs, columns, block + r * kBlockInputs);
      }
      transposed_block(block, kBlockInputs, to.layout, at);
    }
  }
}

void columns(ConstMatrix from, Bf16* to, int64_t stride) {
  const FloatTag d;
  for (int64_t i = 0; i < from.rows; i += kStep) {
    for (int64_t j = 0; j < from.columns; j += 4) {
      FloatVector four[4];
      load_columns(d, from.row(i) + j, from.stride, four);
      for (int64_t c = 0; c < 4; ++c) store_bf16(rounded(four[c]), to + (j + c) * stride + i);
    }
  }
}

void mask(Matrix dy, const Bf16* y, float scale) {
  const FloatTag d;
  const FloatVector factor = hn::Set(d, scale);
  const auto masked = [=](FloatVector gradient, FloatVector output) HWY_ATTR {
    return Floats(hn::IfThenElseZero(hn::Gt(output, hn::Zero(d)), hn::Mul(factor, gradient)));
  };
  for (int64_t i = 0; i < dy.rows; ++i) {
    float* gradients = dy.row(i);
    const Bf16* outputs = y + i * dy.columns;
    int64_t j = 0;
    for (; j + kStep <= dy.columns; j += kStep) {
      store(masked(load(gradients + j).raw, load(outputs + j).raw), gradients + j);
    }
    if (j == dy.columns) continue;
    const auto rest = static_cast<size_t>(dy.columns - j);
    HWY_ALIGN Bf16 tail[kLanes] = {};
    std::memcpy(tail, outputs + j, rest * sizeof(Bf16));
    store_tail(masked(load_tail(gradients + j, rest).raw, load(tail).raw), gradients + j, rest);
  }
}

void sum_rows(ConstMatrix dy, float* sums) {
  for_each_vector(dy.columns, [=](auto load_at, auto store_at) HWY_ATTR {
    Floats sum = load_at(sums);
    for (int64_t i = 0; i < dy.rows; ++i) sum = sum + load_at(dy.row(i));
    store_at(sum, sums);
  });
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace lockstep
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lockstep {

HWY_EXPORT(round_rows_plain);
HWY_EXPORT(round_rows_relu);
HWY_EXPORT(transposed);
HWY_EXPORT(columns);
HWY_EXPORT(mask);
HWY_EXPORT(sum_rows);

void round_rows(ConstMatrix from, Activation activation, const RoundedRows& to, int64_t first) {
  if (activation == Activation::relu) {
    HWY_DYNAMIC_DISPATCH(round_rows_relu)(from, to, first);
  } else {
    HWY_DYNAMIC_DISPATCH(round_rows_plain)(from, to, first);
  }
}

void clear_rows(const Paired& to, int64_t first) {
  const int64_t size = (to.layout.padded_rows() - first) * PairedLayout::kStripColumns;
  for (int64_t strip = 0; strip < to.layout.strips() && size > 0; ++strip) {
    std::fill_n(to.data + to.layout.index(first, strip * PairedLayout::kStripColumns), size,
                Bf16{});
  }
}

void round_transposed(const float* w, const Paired& to) {
  HWY_DYNAMIC_DISPATCH(transposed)(w, to);
}

void round_columns(ConstMatrix from, Bf16* to, int64_t stride) {
  HWY_DYNAMIC_DISPATCH(columns)(from, to, stride);
}

void relu_backward(Matrix dy, const Bf16* y, float scale) {
  HWY_DYNAMIC_DISPATCH(mask)(dy, y, scale);
}

void add_rows(ConstMatrix dy, float* sums) {
  HWY_DYNAMIC_DISPATCH(sum_rows)(dy, sums);
}

}  // namespace lockstep
#endif  // HWY_ONCE
