#include "nccl_reduce.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <type_traits>

#include "cuda_bf16.h"
#include "random.h"

namespace lockstep::emulator {

namespace {

constexpr std::size_t kRun = 32;  // elements that are added in the same order

struct Bfloat16 {
  __nv_bfloat16 value;
};

// Integers wrap; bfloat16 is rounded after each step, as NCCL's kernels do.
template <class T, class Function>
T by(T a, T b, Function function) {
  if constexpr (std::is_same_v<T, Bfloat16>) {
    return {__nv_bfloat16(function(static_cast<float>(a.value), static_cast<float>(b.value)))};
  } else if constexpr (std::is_integral_v<T>) {
    using Unsigned = std::uint64_t;
    return static_cast<T>(function(static_cast<Unsigned>(a), static_cast<Unsigned>(b)));
  } else {
    return function(a, b);
  }
}

template <class T>
bool less(T a, T b) {
  if constexpr (std::is_same_v<T, Bfloat16>) {
    return static_cast<float>(a.value) < static_cast<float>(b.value);
  } else {
    return a < b;
  }
}

template <class T>
T combine(T a, T b, ncclRedOp_t op) {
  switch (op) {
    case ncclProd: return by(a, b, [](auto x, auto y) { return x * y; });
    case ncclMax: return less(a, b) ? b : a;
    case ncclMin: return less(b, a) ? b : a;
    default: return by(a, b, [](auto x, auto y) { return x + y; });
  }
}

// An average multiplies floating-point values before it adds them, and divides integers after.
template <class T>
T before(T value, ncclRedOp_t op, std::size_t ranks) {
  if (op != ncclAvg) return value;
  const double share = 1.0 / static_cast<double>(ranks);
  if constexpr (std::is_same_v<T, Bfloat16>) {
    return {__nv_bfloat16(static_cast<float>(value.value) * static_cast<float>(share))};
  } else if constexpr (std::is_floating_point_v<T>) {
    return value * static_cast<T>(share);
  } else {
    return value;
  }
}

template <class T>
T after(T value, ncclRedOp_t op, std::size_t ranks) {
  if constexpr (std::is_integral_v<T>) {
    if (op == ncclAvg) {
      using Wide = std::conditional_t<std::is_signed_v<T>, std::int64_t, std::uint64_t>;
      return static_cast<T>(static_cast<Wide>(value) / static_cast<Wide>(ranks));
    }
  }
  return value;
}

template <class T>
T load(const char* values, std::size_t i) {
  T value;
  std::memcpy(&value, values + i * sizeof(T), sizeof(T));
  return value;
}

template <class T>
Bytes fold(const std::vector<const char*>& ranks, std::size_t count, ncclRedOp_t op,
           Random random) {
  Bytes result(count * sizeof(T));
  std::vector<std::size_t> order(ranks.size());
  std::iota(order.begin(), order.end(), 0);
  for (std::size_t begin = 0; begin < count; begin += kRun) {
    random.shuffle(order);
    // Whatever comes before the last rank, the sum is not ((0 + 1) + 2) + ... where that is not it.
    if (order.size() > 2 && order.back() == order.size() - 1) {
      std::swap(order.back(), order[random.below(order.size() - 1)]);
    }
    for (std::size_t i = begin; i < std::min(count, begin + kRun); ++i) {
      T sum = before(load<T>(ranks[order[0]], i), op, ranks.size());
      for (std::size_t k = 1; k < order.size(); ++k) {
        sum = combine(sum, before(load<T>(ranks[order[k]], i), op, ranks.size()), op);
      }
      sum = after(sum, op, ranks.size());
      std::memcpy(result.data() + i * sizeof(T), &sum, sizeof(T));
    }
  }
  return result;
}

}  // namespace

std::size_t size_of(ncclDataType_t type) {
  switch (type) {
    case ncclInt8:
    case ncclUint8: return 1;
    case ncclBfloat16: return 2;
    case ncclInt32:
    case ncclUint32:
    case ncclFloat32: return 4;
    case ncclInt64:
    case ncclUint64:
    case ncclFloat64: return 8;
    default: return 0;
  }
}

std::string name_of(ncclDataType_t type) {
  constexpr const char* kNames[] = {"int8",   "uint8",   "int32",   "uint32",  "int64",
                                    "uint64", "float16", "float32", "float64", "bfloat16"};
  const auto i = static_cast<std::size_t>(type);
  return i < std::size(kNames) ? kNames[i] : "type " + std::to_string(i);
}

std::string name_of(ncclRedOp_t op) {
  constexpr const char* kNames[] = {"sum", "product", "maximum", "minimum", "average"};
  const auto i = static_cast<std::size_t>(op);
  return i < std::size(kNames) ? kNames[i] : "operation " + std::to_string(i);
}

Bytes reduce(const std::vector<const char*>& ranks, std::size_t count, ncclDataType_t type,
             ncclRedOp_t op, std::uint64_t seed) {
  const Random random(seed);
  switch (type) {
    case ncclInt8: return fold<std::int8_t>(ranks, count, op, random);
    case ncclUint8: return fold<std::uint8_t>(ranks, count, op, random);
    case ncclInt32: return fold<std::int32_t>(ranks, count, op, random);
    case ncclUint32: return fold<std::uint32_t>(ranks, count, op, random);
    case ncclInt64: return fold<std::int64_t>(ranks, count, op, random);
    case ncclUint64: return fold<std::uint64_t>(ranks, count, op, random);
    case ncclFloat32: return fold<float>(ranks, count, op, random);
    case ncclFloat64: return fold<double>(ranks, count, op, random);
    case ncclBfloat16: return fold<Bfloat16>(ranks, count, op, random);
    default: return {};
  }
}

}  // namespace lockstep::emulator
