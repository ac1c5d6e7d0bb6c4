// CUDA's vector types, with their alignment, and make_* functions.
#pragma once

#include "emulator/keywords.h"

#define LOCKSTEP_VECTOR_TYPES(scalar, name, align2, align4)                  \
  struct name##1 {                                                           \
    scalar x;                                                                \
  };                                                                         \
  struct alignas(align2) name##2 {                                           \
    scalar x, y;                                                             \
  };                                                                         \
  struct name##3 {                                                           \
    scalar x, y, z;                                                          \
  };                                                                         \
  struct alignas(align4) name##4 {                                           \
    scalar x, y, z, w;                                                       \
  };                                                                         \
  constexpr name##1 make_##name##1(scalar x) {                               \
    return {x};                                                              \
  }                                                                          \
  constexpr name##2 make_##name##2(scalar x, scalar y) {                     \
    return {x, y};                                                           \
  }                                                                          \
  constexpr name##3 make_##name##3(scalar x, scalar y, scalar z) {           \
    return {x, y, z};                                                        \
  }                                                                          \
  constexpr name##4 make_##name##4(scalar x, scalar y, scalar z, scalar w) { \
    return {x, y, z, w};                                                     \
  }

LOCKSTEP_VECTOR_TYPES(signed char, char, 2, 4)
LOCKSTEP_VECTOR_TYPES(unsigned char, uchar, 2, 4)
LOCKSTEP_VECTOR_TYPES(short, short, 4, 8)
LOCKSTEP_VECTOR_TYPES(unsigned short, ushort, 4, 8)
LOCKSTEP_VECTOR_TYPES(int, int, 8, 16)
LOCKSTEP_VECTOR_TYPES(unsigned, uint, 8, 16)
LOCKSTEP_VECTOR_TYPES(long long, longlong, 16, 16)
LOCKSTEP_VECTOR_TYPES(unsigned long long, ulonglong, 16, 16)
LOCKSTEP_VECTOR_TYPES(float, float, 8, 16)
LOCKSTEP_VECTOR_TYPES(double, double, 16, 16)

#undef LOCKSTEP_VECTOR_TYPES

struct dim3 {
  unsigned x, y, z;
  // Implicit, as CUDA's.
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
  constexpr dim3(uint3 v) : x(v.x), y(v.y), z(v.z) {}
  constexpr operator uint3() const { return {x, y, z}; }
};
