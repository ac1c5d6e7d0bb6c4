// Per-target helpers over Highway: the value type that carries lockstep/math.h's formulas, and a
// loop over an array that never falls back to scalar code.
//
// Included once per SIMD target (see foreach_target.h), hence the toggled guard.
#if defined(LOCKSTEP_BACKEND_SIMD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LOCKSTEP_BACKEND_SIMD_INL_H_
#undef LOCKSTEP_BACKEND_SIMD_INL_H_
#else
#define LOCKSTEP_BACKEND_SIMD_INL_H_
#endif

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "backend/bf16.h"
#include "hwy/contrib/math/math-inl.h"
#include "hwy/highway.h"
#include "lockstep/math.h"

HWY_BEFORE_NAMESPACE();
namespace lockstep {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using FloatTag = hn::ScalableTag<float>;
using FloatVector = hn::Vec<FloatTag>;

// Floats in a vector of this target. Not constexpr where vectors have no fixed size; such targets
// (SVE, RVV) are disabled in this folder's CMakeLists.txt.
inline constexpr size_t kLanes = HWY_MAX_BYTES / sizeof(float) >= 1 && HWY_TARGET != HWY_SCALAR
                                     ? HWY_MAX_BYTES / sizeof(float)
                                     : 1;

// A vector of floats with the operators that lockstep/math.h asks of its T.
struct Floats {
  FloatVector raw;

  HWY_INLINE Floats() = default;
  HWY_INLINE explicit Floats(FloatVector vector) : raw(vector) {}
  HWY_INLINE explicit Floats(float value) : raw(hn::Set(FloatTag(), value)) {}

  friend HWY_INLINE Floats operator+(Floats a, Floats b) { return Floats(hn::Add(a.raw, b.raw)); }
  friend HWY_INLINE Floats operator-(Floats a, Floats b) { return Floats(hn::Sub(a.raw, b.raw)); }
  friend HWY_INLINE Floats operator*(Floats a, Floats b) { return Floats(hn::Mul(a.raw, b.raw)); }
  friend HWY_INLINE Floats operator/(Floats a, Floats b) { return Floats(hn::Div(a.raw, b.raw)); }

  friend HWY_INLINE Floats fma(Floats a, Floats b, Floats c) {
    return Floats(hn::MulAdd(a.raw, b.raw, c.raw));
  }
  friend HWY_INLINE Floats sqrt(Floats a) { return Floats(hn::Sqrt(a.raw)); }
  friend HWY_INLINE Floats abs(Floats a) { return Floats(hn::Abs(a.raw)); }
  // As math.h's scalar max: the second operand where the comparison is false, so NaN gives b.
  friend HWY_INLINE Floats max(Floats a, Floats b) {
    return Floats(hn::IfThenElse(hn::Gt(a.raw, b.raw), a.raw, b.raw));
  }
  friend HWY_INLINE Floats if_negative(Floats x, Floats yes, Floats no) {
    return Floats(hn::IfThenElse(hn::Lt(x.raw, hn::Zero(FloatTag())), yes.raw, no.raw));
  }
  // Highway's Exp overflows to infinity up to 104, is undefined above, and turns NaN into 0.
  friend HWY_INLINE Floats exp(Floats a) {
    const FloatTag d;
    const FloatVector power = hn::Exp(d, hn::Min(a.raw, hn::Set(d, 104.0f)));
    return Floats(hn::IfThenElse(hn::Eq(a.raw, a.raw), power, a.raw));
  }
  // For arguments > 0; NaN stays NaN.
  friend HWY_INLINE Floats log(Floats a) {
    return Floats(hn::IfThenElse(hn::Eq(a.raw, a.raw), hn::Log(FloatTag(), a.raw), a.raw));
  }
  friend HWY_INLINE Floats log1p(Floats a) { return Floats(hn::Log1p(FloatTag(), a.raw)); }
};

// sigmoid, sgd_momentum, adam, ... over Floats.
#include "lockstep/math-inl.h"

HWY_INLINE Floats load(const float* from) {
  return Floats(hn::LoadU(FloatTag(), from));
}
// Bytes become floats, exactly.
HWY_INLINE Floats load(const uint8_t* from) {
  const hn::Rebind<uint8_t, FloatTag> bytes;
  const hn::Rebind<int32_t, FloatTag> ints;
  return Floats(hn::ConvertTo(FloatTag(), hn::PromoteTo(ints, hn::LoadU(bytes, from))));
}
// So do bf16.
HWY_INLINE Floats load(const Bf16* from) {
  const hn::RebindToUnsigned<FloatTag> words;
  const hn::Rebind<uint16_t, FloatTag> halves;
  const auto low = hn::PromoteTo(words, hn::LoadU(halves, &from->bits));
  return Floats(hn::BitCast(FloatTag(), hn::ShiftLeft<16>(low)));
}
// Words keep their bits.
HWY_INLINE Floats load(const uint32_t* from) {
  return Floats(hn::BitCast(FloatTag(), hn::LoadU(hn::ScalableTag<uint32_t>(), from)));
}
HWY_INLINE void store(Floats value, float* to) {
  hn::StoreU(value.raw, FloatTag(), to);
}

// The first `count` < kLanes values, zeros above. Touches no byte beyond them, but for bf16.
template <class T>
HWY_INLINE Floats load_tail(const T* from, size_t count) {
  HWY_ALIGN T lanes[kLanes] = {};
  std::memcpy(lanes, from, count * sizeof(T));
  return load(lanes);
}
// Where a masked load leaves the other lanes' memory alone, it is one instruction.
HWY_INLINE Floats load_tail(const float* from, size_t count) {
  const FloatTag d;
  if constexpr (!HWY_MEM_OPS_MIGHT_FAULT) {
    return Floats(hn::MaskedLoad(hn::FirstN(d, count), d, from));
  }
  return load_tail<float>(from, count);
}
// Features have kBf16Slack values behind them: a whole vector is read, and cut in a register.
HWY_INLINE Floats load_tail(const Bf16* from, size_t count) {
  return Floats(hn::IfThenElseZero(hn::FirstN(FloatTag(), count), load(from).raw));
}
HWY_INLINE void store_tail(Floats value, float* to, size_t count) {
  HWY_ALIGN float lanes[kLanes];
  store(value, lanes);
  std::memcpy(to, lanes, count * sizeof(float));
}

// Calls body(i, load_at, store_at) for each vector's first index i in [0, size): load_at(pointer)
// and store_at(value, pointer) handle whole vectors, and in the last call the remaining lanes. The
// tail runs the same vector body, so its elements get the bits that they would get anywhere else.
template <class Body>
HWY_INLINE void for_each_vector(size_t size, const Body& body) {
  size_t i = 0;
  for (; i + kLanes <= size; i += kLanes) {
    body([i](const auto* base) HWY_ATTR { return load(base + i); },
         [i](Floats value, float* base) HWY_ATTR { store(value, base + i); });
  }
  if (i < size) {
    const size_t rest = size - i;
    body([i, rest](const auto* base) HWY_ATTR { return load_tail(base + i, rest); },
         [i, rest](Floats value, float* base) HWY_ATTR { store_tail(value, base + i, rest); });
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace lockstep
HWY_AFTER_NAMESPACE();

#endif  // LOCKSTEP_BACKEND_SIMD_INL_H_
