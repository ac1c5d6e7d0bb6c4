#include "backend/dropout.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/dropout.cpp"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
//
#include <algorithm>

#include "backend/philox-inl.h"
#include "backend/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lockstep {
namespace HWY_NAMESPACE {
namespace {

// Words of kLanes consecutive blocks, that is of units [4 block, 4 (block + kLanes)).
HWY_INLINE void draw_words(const RandomStream& stream, uint64_t sample, uint32_t block,
                           uint32_t* words) {
  const WordTag d;
  const uint32_t tag = (static_cast<uint32_t>(stream.purpose) << 24) |
                       (static_cast<uint32_t>(stream.layer) << 16) |
                       static_cast<uint32_t>((sample >> 32) & 0xFFFFu);
  const PhiloxVectors drawn =
      philox({hn::Iota(d, block), hn::Set(d, static_cast<uint32_t>(sample)),
              hn::Set(d, stream.epoch), hn::Set(d, tag)},
             static_cast<uint32_t>(stream.seed), static_cast<uint32_t>(stream.seed >> 32));
  hn::StoreInterleaved4(drawn.x, drawn.y, drawn.z, drawn.w, d, words);
}

void dropout_row(const DropoutKey& key, uint64_t sample, float* values, int64_t columns) {
  constexpr int64_t kUnits = 4 * static_cast<int64_t>(kLanes);
  const WordTag d;
  const FloatTag df;
  const Words threshold = hn::Set(d, key.threshold);
  const FloatVector keep_scale = hn::Set(df, key.keep_scale);
  HWY_ALIGN uint32_t words[kUnits];
  for (int64_t first = 0; first < columns; first += kUnits) {
    draw_words(key.stream, sample, static_cast<uint32_t>(first / 4), words);
    const int64_t count = std::min(kUnits, columns - first);
    for_each_vector(count, [&](auto load_at, auto store_at) HWY_ATTR {
      const auto dropped =
          hn::RebindMask(df, hn::Lt(hn::BitCast(d, load_at(words).raw), threshold));
      const FloatVector value = hn::Mul(load_at(values + first).raw, keep_scale);
      store_at(Floats(hn::IfThenElse(dropped, hn::Zero(df), value)), values + first);
    });
  }
}

void dropout_rows(const DropoutKey& key, const Batch& batch, Matrix values) {
  for (int64_t i = 0; i < values.rows; ++i) {
    dropout_row(key, static_cast<uint64_t>(batch.sample(i)), values.row(i), values.columns);
  }
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace lockstep
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lockstep {

HWY_EXPORT(dropout_rows);

DropoutKey dropout_key(uint64_t seed, int layer, uint32_t epoch, double p) {
  return {RandomStream{seed, Purpose::dropout, static_cast<uint8_t>(layer), epoch},
          dropout_threshold(p), static_cast<float>(1.0 / (1.0 - p))};
}

void apply_dropout(const DropoutKey& key, const Batch& batch, Matrix values) {
  HWY_DYNAMIC_DISPATCH(dropout_rows)(key, batch, values);
}

}  // namespace lockstep
#endif  // HWY_ONCE
