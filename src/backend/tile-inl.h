// The register tile that all of panel_gemm.cpp is made of.
//
// Rows of A are broadcast one value at a time, B is read in whole vectors, the sums stay in
// registers: an R x C tile takes R + C loads for R C fused multiply-adds, so that the arithmetic
// units and not the load ports decide its speed.
#if defined(LOCKSTEP_BACKEND_TILE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LOCKSTEP_BACKEND_TILE_INL_H_
#undef LOCKSTEP_BACKEND_TILE_INL_H_
#else
#define LOCKSTEP_BACKEND_TILE_INL_H_
#endif

#include <array>
#include <utility>

#include "backend/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lockstep {
namespace HWY_NAMESPACE {

// Rows of the largest tile: 12 x 2 sums, 2 vectors of B and a broadcast fit 32 registers, 6 x 2
// fit 16.
inline constexpr int kTileRows = HWY_ARCH_ARM_A64 || HWY_TARGET == HWY_AVX3 ? 12 : 6;
inline constexpr int kTileVectors = 2;
inline constexpr int64_t kTileWidth = kTileVectors * static_cast<int64_t>(kLanes);

// Vectors of a tile over `columns` more columns.
HWY_INLINE int tile_vectors(int64_t columns) {
  return columns > static_cast<int64_t>(kLanes) ? kTileVectors : 1;
}

// f(0), f(1), ..., f(N - 1) as constants, written out: sums must not be indexed at run time.
template <int N, class F>
HWY_INLINE void unroll(const F& f) {
  [&]<int... I>(std::integer_sequence<int, I...>) __attribute__((always_inline)) HWY_ATTR {
    (f(std::integral_constant<int, I>{}), ...);
  }
  (std::make_integer_sequence<int, N>{});
}

template <int R, int C>
struct Tile {
  FloatVector sums[R][C];

  HWY_INLINE void clear() {
    unroll<R>([&](auto r) __attribute__((always_inline)) HWY_ATTR {
      unroll<C>([&](auto c) __attribute__((always_inline))
                HWY_ATTR { sums[r][c] = hn::Zero(FloatTag()); });
    });
  }

  // sums[r, :] += a[r * row] * b[:]
  HWY_INLINE void add_product(const float* a, int64_t row, const float* b) {
    const FloatTag d;
    FloatVector columns[C];
    unroll<C>([&](auto c) __attribute__((always_inline))
              HWY_ATTR { columns[c] = hn::LoadU(d, b + c * kLanes); });
    unroll<R>([&](auto r) __attribute__((always_inline)) HWY_ATTR {
      const FloatVector factor = hn::Set(d, a[r * row]);
      unroll<C>([&](auto c) __attribute__((always_inline))
                HWY_ATTR { sums[r][c] = hn::MulAdd(factor, columns[c], sums[r][c]); });
    });
  }

  // `terms` products, each `a_step` and `b_step` floats after the one before.
  HWY_INLINE void add_products(const float* a, int64_t row, int64_t a_step, const float* b,
                               int64_t b_step, int64_t terms) {
    constexpr int kGroup = 4;
    int64_t t = 0;
    for (; t + kGroup <= terms; t += kGroup) {
      unroll<kGroup>([&](auto u) __attribute__((always_inline))
                     HWY_ATTR { add_product(a + u * a_step, row, b + u * b_step); });
      a += kGroup * a_step;
      b += kGroup * b_step;
    }
    for (; t < terms; ++t) {
      add_product(a, row, b);
      a += a_step;
      b += b_step;
    }
  }

  HWY_INLINE void store(float* to, int64_t row) const {
    unroll<R>([&](auto r) __attribute__((always_inline)) HWY_ATTR {
      unroll<C>([&](auto c) __attribute__((always_inline))
                HWY_ATTR { hn::StoreU(sums[r][c], FloatTag(), to + r * row + c * kLanes); });
    });
  }

  // to += sums
  HWY_INLINE void add_to(float* to, int64_t row) const {
    const FloatTag d;
    unroll<R>([&](auto r) __attribute__((always_inline)) HWY_ATTR {
      unroll<C>([&](auto c) __attribute__((always_inline)) HWY_ATTR {
        float* at = to + r * row + c * kLanes;
        hn::StoreU(hn::Add(hn::LoadU(d, at), sums[r][c]), d, at);
      });
    });
  }
};

// Cuts `rows` into tiles of nearly equal height, at most kTileRows, from the first row on.
class TileRows {
 public:
  HWY_INLINE explicit TileRows(int64_t rows)
      : tiles_((rows + kTileRows - 1) / kTileRows),
        height_(tiles_ ? rows / tiles_ : 0),
        taller_(tiles_ ? rows % tiles_ : 0) {}
  HWY_INLINE int64_t tiles() const { return tiles_; }
  HWY_INLINE int64_t height(int64_t tile) const { return height_ + (tile < taller_ ? 1 : 0); }

 private:
  int64_t tiles_;
  int64_t height_;
  int64_t taller_;  // the first so many tiles have one row more
};

}  // namespace HWY_NAMESPACE
}  // namespace lockstep
HWY_AFTER_NAMESPACE();

#endif  // LOCKSTEP_BACKEND_TILE_INL_H_
