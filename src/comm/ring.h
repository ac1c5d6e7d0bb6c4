// The topology of a ring all-reduce over shared memory, as pure functions (Patarasu, Yuan 2009).
//
// A buffer is cut into W chunks. In reduce-scatter stage s (0 .. W-2) worker r adds its left
// neighbour's partial sum of chunk r-1-s to its own; it then holds chunk r+1 complete. In
// all-gather stage s it copies chunk r-s from its left neighbour. Stages are numbered through: 2 W
// - 2 in all.
#pragma once

#include <cstdint>

namespace lockstep::ring {

inline int left(int rank, int size) {
  return (rank + size - 1) % size;
}
inline int right(int rank, int size) {
  return (rank + 1) % size;
}
inline int stages(int size) {
  return 2 * (size - 1);
}
inline bool adds(int stage, int size) {
  return stage < size - 1;
}

inline int chunk(int rank, int stage, int size) {
  const int back = adds(stage, size) ? stage + 1 : stage - (size - 1);
  return ((rank - back) % size + size) % size;
}

// Stages that the left neighbour must have finished before `stage` here: its chunk is then final.
inline int needs_left(int stage) {
  return stage;
}

// Stages that the right neighbour must have finished: an all-gather stage overwrites a chunk that
// it still reads in the reduce-scatter stage of the same number.
inline int needs_right(int stage, int size) {
  return adds(stage, size) ? 0 : stage - (size - 1) + 1;
}

}  // namespace lockstep::ring
