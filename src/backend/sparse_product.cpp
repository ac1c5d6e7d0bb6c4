#include "backend/sparse_product.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/sparse_product.cpp"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
//
#include <algorithm>

#include "backend/tile-inl.h"
#include "backend/transpose-inl.h"

// Vectors of columns in a tile: 4 x 6 sums, 6 vectors of b and a broadcast fit 32 registers, 4 x 2
// fit 16.
#ifndef LOCKSTEP_SPARSE_PRODUCT_COLUMNS
#define LOCKSTEP_SPARSE_PRODUCT_COLUMNS
namespace lockstep {
namespace {
// Columns of the sparse matrix whose rows of b stay in the first-level cache while all fours pass.
constexpr int64_t kBlock = 64;
}  // namespace
}  // namespace lockstep
#endif

HWY_BEFORE_NAMESPACE();
namespace lockstep {
namespace HWY_NAMESPACE {
namespace {

using Indices = hn::Vec<hn::RebindToSigned<FloatTag>>;
using IndexTag = hn::RebindToSigned<FloatTag>;

constexpr int64_t kStep = static_cast<int64_t>(kLanes);
constexpr int kWidest = HWY_ARCH_ARM_A64 || HWY_TARGET == HWY_AVX3 ? 6 : 3;

// Appends the lanes, below `lanes`, in which any of a four's vectors is not zero.
HWY_INLINE int64_t append(SparseQuads& list, int64_t at, const FloatVector (&four)[kQuad],
                          int64_t first, int64_t lanes) {
  const FloatTag d;
  const IndexTag di;
  const FloatVector zero = hn::Zero(d);
  // Not-equal may be false for NaN, which is no zero; equal is.
  auto any = hn::Not(hn::And(hn::And(hn::Eq(four[0], zero), hn::Eq(four[1], zero)),
                             hn::And(hn::Eq(four[2], zero), hn::Eq(four[3], zero))));
  if (lanes < kStep) any = hn::And(any, hn::FirstN(d, static_cast<size_t>(lanes)));
  if (hn::AllFalse(d, any)) return at;
  float* values = list.values.data() + at;
  for (int r = 0; r < kQuad; ++r) {
    hn::StoreU(hn::Compress(four[r], any), d, values + r * list.stride);
  }
  const Indices columns = hn::Iota(di, static_cast<int32_t>(first));
  hn::StoreU(hn::Compress(columns, hn::RebindMask(di, any)), di, list.index.data() + at);
  return at + static_cast<int64_t>(hn::CountTrue(d, any));
}

// Calls append_vector(four, first column, entries so far) for every vector of columns, in order.
template <class AppendVector>
HWY_INLINE void fill(SparseQuads& list, const AppendVector& append_vector) {
  list.blocks = std::max<int64_t>((list.columns + kBlock - 1) / kBlock, 1);
  list.ends.resize(quads_of(list.rows) * list.blocks);
  int64_t at = 0;
  for (int64_t q = 0; q < quads_of(list.rows); ++q) {
    for (int64_t b = 0; b < list.blocks; ++b) {
      const int64_t end = std::min((b + 1) * kBlock, list.columns);
      for (int64_t k = b * kBlock; k < end; k += kStep) at = append_vector(q, k, end - k, at);
      list.ends[q * list.blocks + b] = at;
    }
  }
}

void fill_rows(ConstMatrix rows, SparseQuads& list) {
  fill(list, [&](int64_t q, int64_t k, int64_t lanes, int64_t at) HWY_ATTR {
    FloatVector four[kQuad];
    for (int64_t r = 0; r < kQuad; ++r) {
      four[r] = hn::LoadU(FloatTag(), rows.row(q * kQuad + r) + k);
    }
    return append(list, at, four, k, lanes);
  });
}

void fill_columns(ConstMatrix rows, int64_t first, SparseQuads& list) {
  fill(list, [&](int64_t q, int64_t k, int64_t lanes, int64_t at) HWY_ATTR {
    FloatVector four[kQuad];
    load_columns(FloatTag(), rows.row(k) + first + q * kQuad, rows.stride, four);
    for (int64_t r = list.rows - q * kQuad; r < kQuad; ++r) four[r] = hn::Zero(FloatTag());
    return append(list, at, four, k, lanes);
  });
}

// Entries [begin, end) of a four times `V` vectors of columns of b.
struct QuadTile {
  const float* values;
  int64_t stride;
  const int32_t* index;
  int64_t entries;
  const float* b;
  int64_t b_stride;
  SumStart start;
  const float* vector;
  float* out;
  int64_t out_stride;
};

template <int V>
void run_tile(const QuadTile& p) {
  const FloatTag d;
  FloatVector sums[kQuad][V];
  if (p.start == SumStart::zero) {
    unroll<kQuad>([&](auto r) __attribute__((always_inline)) HWY_ATTR {
      unroll<V>([&](auto v) __attribute__((always_inline)) HWY_ATTR { sums[r][v] = hn::Zero(d); });
    });
  } else {
    const float* from = p.start == SumStart::vector ? p.vector : p.out;
    const int64_t row = p.start == SumStart::vector ? 0 : p.out_stride;
    unroll<kQuad>([&](auto r) __attribute__((always_inline)) HWY_ATTR {
      unroll<V>([&](auto v) __attribute__((always_inline))
                HWY_ATTR { sums[r][v] = hn::LoadU(d, from + r * row + v * kLanes); });
    });
  }
  for (int64_t i = 0; i < p.entries; ++i) {
    const float* b = p.b + p.index[i] * p.b_stride;
    FloatVector columns[V];
    unroll<V>([&](auto v) __attribute__((always_inline))
              HWY_ATTR { columns[v] = hn::LoadU(d, b + v * kLanes); });
    unroll<kQuad>([&](auto r) __attribute__((always_inline)) HWY_ATTR {
      const FloatVector factor = hn::Set(d, p.values[i + r * p.stride]);
      unroll<V>([&](auto v) __attribute__((always_inline))
                HWY_ATTR { sums[r][v] = hn::MulAdd(factor, columns[v], sums[r][v]); });
    });
  }
  unroll<kQuad>([&](auto r) __attribute__((always_inline)) HWY_ATTR {
    unroll<V>([&](auto v) __attribute__((always_inline))
              HWY_ATTR { hn::StoreU(sums[r][v], d, p.out + r * p.out_stride + v * kLanes); });
  });
}

template <int... V>
constexpr std::array<void (*)(const QuadTile&), kWidest> tiles(std::integer_sequence<int, V...>) {
  return {run_tile<V + 1>...};
}
constexpr auto kTiles = tiles(std::make_integer_sequence<int, kWidest>{});

// A tile that is not whole goes through memory of its own.
void run_partial(QuadTile tile, int vectors, int64_t rows, int64_t columns) {
  HWY_ALIGN float whole[kQuad * kWidest * kLanes] = {};
  constexpr int64_t kStride = kWidest * kStep;
  float* out = tile.out;
  const int64_t out_stride = tile.out_stride;
  if (tile.start == SumStart::out) {
    for (int64_t r = 0; r < rows; ++r)
      std::copy_n(out + r * out_stride, columns, whole + r * kStride);
  }
  tile.out = whole;
  tile.out_stride = kStride;
  kTiles[vectors - 1](tile);
  for (int64_t r = 0; r < rows; ++r)
    std::copy_n(whole + r * kStride, columns, out + r * out_stride);
}

// One strip of `vectors` vectors of columns from `column` on.
void run_strip(const SparseQuads& a, const SparseProduct& p, int64_t column, int vectors) {
  const int64_t columns = std::min(vectors * kStep, p.columns - column);
  for (int64_t block = 0; block < a.blocks; ++block) {
    for (int64_t q = 0; q < quads_of(a.rows); ++q) {
      const int64_t slot = q * a.blocks + block;
      const int64_t begin = slot == 0 ? 0 : a.ends[slot - 1];
      const int64_t entries = a.ends[slot] - begin;
      if (block > 0 && entries == 0) continue;
      const QuadTile tile{a.values.data() + begin,
                          a.stride,
                          a.index.data() + begin,
                          entries,
                          p.b + column,
                          p.b_stride,
                          block == 0 ? p.start : SumStart::out,
                          p.vector ? p.vector + column : nullptr,
                          p.out + q * kQuad * p.out_stride + column,
                          p.out_stride};
      const int64_t rows = std::min(kQuad, a.rows - q * kQuad);
      if (rows == kQuad && columns == vectors * kStep) {
        kTiles[vectors - 1](tile);
      } else {
        run_partial(tile, vectors, rows, columns);
      }
    }
  }
}

void product(const SparseQuads& a, const SparseProduct& p) {
  // Strips of nearly equal width.
  const int64_t vectors = (p.columns + kStep - 1) / kStep;
  const int64_t strips = (vectors + kWidest - 1) / kWidest;
  int64_t column = 0;
  for (int64_t strip = 0; strip < strips; ++strip) {
    const int64_t width = vectors / strips + (strip < vectors % strips ? 1 : 0);
    run_strip(a, p, column, static_cast<int>(width));
    column += width * kStep;
  }
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace lockstep
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lockstep {

HWY_EXPORT(fill_rows);
HWY_EXPORT(fill_columns);
HWY_EXPORT(product);

namespace {

// Entries are written in whole vectors.
constexpr int64_t kSlack = 16;

int64_t room(int64_t rows, int64_t columns) {
  return quads_of(rows) * columns + kSlack;
}

}  // namespace

SparseQuads::SparseQuads(int64_t most_rows, int64_t most_columns)
    : stride(room(most_rows, most_columns)), values(kQuad * stride), index(stride) {}

int64_t SparseQuads::bytes(int64_t most_rows, int64_t most_columns) {
  return room(most_rows, most_columns) * (kQuad * sizeof(float) + sizeof(int32_t));
}

void list_rows(ConstMatrix rows, SparseQuads& list) {
  list.rows = rows.rows;
  list.columns = rows.columns;
  HWY_DYNAMIC_DISPATCH(fill_rows)(rows, list);
}

void list_columns(ConstMatrix rows, int64_t first, int64_t count, SparseQuads& list) {
  list.rows = count;
  list.columns = rows.rows;
  HWY_DYNAMIC_DISPATCH(fill_columns)(rows, first, list);
}

void sparse_product(const SparseQuads& a, const SparseProduct& p) {
  HWY_DYNAMIC_DISPATCH(product)(a, p);
}

}  // namespace lockstep
#endif  // HWY_ONCE
