#include "backend/bf16_ops.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/bf16_ops.cpp"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
//
#include <algorithm>

#include "backend/transpose-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lockstep {
namespace HWY_NAMESPACE {
namespace {

using WordTag = hn::RebindToUnsigned<FloatTag>;
using Words = hn::Vec<WordTag>;

constexpr int64_t kStep = static_cast<int64_t>(kLanes);

// The bf16 of each lane in its upper half; what is in the lower half is of no account.
HWY_INLINE Words rounded(FloatVector values) {
  const WordTag d;
  const Words bits = hn::BitCast(d, values);
  const Words odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(d, 1u));
  const Words nearest = hn::Add(bits, hn::Add(odd, hn::Set(d, 0x7FFFu)));
  const Words quiet = hn::Or(bits, hn::Set(d, 0x400000u));
  return hn::IfThenElse(hn::RebindMask(d, hn::Eq(values, values)), nearest, quiet);
}

// One word a lane: the bf16 of `even` in its lower half, of `odd` in its upper.
HWY_INLINE Words paired(Words even, Words odd) {
  return hn::Or(hn::ShiftRight<16>(even), hn::AndNot(hn::Set(WordTag(), 0xFFFFu), odd));
}

HWY_INLINE void store_bf16(Words values, Bf16* to) {
  const hn::RebindToSigned<WordTag> ints;
  const hn::Rebind<uint16_t, WordTag> halves;
  const auto upper = hn::BitCast(ints, hn::ShiftRight<16>(values));
  hn::StoreU(hn::DemoteTo(halves, upper), halves, &to->bits);
}

HWY_INLINE void store_bf16_tail(Words values, Bf16* to, size_t count) {
  HWY_ALIGN Bf16 lanes[kLanes];
  store_bf16(values, lanes);
  std::memcpy(to, lanes, count * sizeof(Bf16));
}

HWY_INLINE FloatVector load_bf16(const Bf16* from) {
  const WordTag d;
  const hn::Rebind<uint16_t, WordTag> halves;
  const Words low = hn::PromoteTo(d, hn::LoadU(halves, &from->bits));
  return hn::BitCast(FloatTag(), hn::ShiftLeft<16>(low));
}

// max(0, y) would turn NaN into 0 and hide a diverged run.
template <bool relu>
HWY_INLINE FloatVector activated(FloatVector y) {
  if constexpr (!relu) return y;
  const FloatVector zero = hn::Zero(FloatTag());
  return hn::IfThenElse(hn::Lt(y, zero), zero, y);
}

// One vector of two rows, `odd` null where there is no second.
struct RowPair {
  const float* even;
  const float* odd;
  Bf16* even_rounded;  // null: not wanted
  Bf16* odd_rounded;
  uint32_t* words;  // null: not wanted
};

template <bool relu>
HWY_INLINE void round_pair(const RowPair& p, size_t count) {
  const bool whole = count == kLanes;
  const auto load_row = [=](const float* row) HWY_ATTR {
    const Floats values = whole ? load(row) : load_tail(row, count);
    return rounded(activated<relu>(values.raw));
  };
  const auto store_row = [=](Words values, Bf16* to) HWY_ATTR {
    if (!to) return;
    if (whole) {
      store_bf16(values, to);
    } else {
      store_bf16_tail(values, to, count);
    }
  };
  const Words even = load_row(p.even);
  const Words odd = p.odd ? load_row(p.odd) : hn::Zero(WordTag());
  store_row(even, p.even_rounded);
  if (p.odd) store_row(odd, p.odd_rounded);
  // A strip is whole vectors: beyond the last column it gets zeros.
  if (p.words) hn::StoreU(paired(even, odd), WordTag(), p.words);
}

template <bool relu>
void round_rows(ConstMatrix from, const RoundedRows& to, int64_t first) {
  const PairedLayout& layout = to.pairs.layout;
  for (int64_t i = 0; i < from.rows; i += 2) {
    Bf16* rounded_row = to.rows ? to.rows + (first + i) * from.columns : nullptr;
    const RowPair pair{from.row(i), i + 1 < from.rows ? from.row(i + 1) : nullptr, rounded_row,
                       rounded_row ? rounded_row + from.columns : nullptr, nullptr};
    for (int64_t j = 0; j < from.columns; j += kStep) {
      RowPair at = pair;
      at.even += j;
      if (at.odd) at.odd += j;
      if (rounded_row) {
        at.even_rounded += j;
        at.odd_rounded += j;
      }
      if (to.pairs.data) {
        at.words = reinterpret_cast<uint32_t*>(to.pairs.data + layout.index(first + i, j));
      }
      round_pair<relu>(at, static_cast<size_t>(std::min(kStep, from.columns - j)));
    }
  }
}

void round_rows_plain(ConstMatrix from, const RoundedRows& to, int64_t first) {
  round_rows<false>(from, to, first);
}
void round_rows_relu(ConstMatrix from, const RoundedRows& to, int64_t first) {
  round_rows<true>(from, to, first);
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
      const Words words = paired(rounded(inputs[2 * pair]), rounded(inputs[2 * pair + 1]));
      hn::StoreU(words, WordTag(), reinterpret_cast<uint32_t*>(at));
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
      store(masked(load(gradients + j).raw, load_bf16(outputs + j)), gradients + j);
    }
    if (j == dy.columns) continue;
    const auto rest = static_cast<size_t>(dy.columns - j);
    HWY_ALIGN Bf16 tail[kLanes] = {};
    std::memcpy(tail, outputs + j, rest * sizeof(Bf16));
    store_tail(masked(load_tail(gradients + j, rest).raw, load_bf16(tail)), gradients + j, rest);
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
