#include "comm/ring.h"

#include <gtest/gtest.h>

#include <vector>

namespace lockstep {
namespace {

// Plays the ring by its own rules, one stage of one rank at a time, in several orders.
void play_ring(int size, bool backwards) {
  std::vector<std::vector<int64_t>> buffers(size, std::vector<int64_t>(size));
  for (int rank = 0; rank < size; ++rank) {
    for (int chunk = 0; chunk < size; ++chunk)
      buffers[rank][chunk] = int64_t{1} << (8 * (rank % 7));
  }
  std::vector<int64_t> expected = buffers[0];
  for (int rank = 1; rank < size; ++rank) {
    for (int chunk = 0; chunk < size; ++chunk) expected[chunk] += buffers[rank][chunk];
  }
  std::vector<int> done(size, 0);
  bool moved = true;
  while (moved) {
    moved = false;
    for (int i = 0; i < size; ++i) {
      const int rank = backwards ? size - 1 - i : i;
      const int stage = done[rank];
      if (stage == ring::stages(size)) continue;
      const int left = ring::left(rank, size);
      if (done[left] < ring::needs_left(stage)) continue;
      if (done[ring::right(rank, size)] < ring::needs_right(stage, size)) continue;
      const int chunk = ring::chunk(rank, stage, size);
      if (ring::adds(stage, size)) {
        buffers[rank][chunk] += buffers[left][chunk];
      } else {
        buffers[rank][chunk] = buffers[left][chunk];
      }
      ++done[rank];
      moved = true;
    }
  }
  for (int rank = 0; rank < size; ++rank) {
    EXPECT_EQ(done[rank], ring::stages(size));
    EXPECT_EQ(buffers[rank], expected) << "rank " << rank << " of " << size;
  }
}

TEST(Ring, EveryRankEndsWithTheSumWhateverTheOrderOfProgress) {
  for (int size = 2; size <= 9; ++size) {
    play_ring(size, false);
    play_ring(size, true);
  }
}

TEST(Ring, RunsInTwoTimesWMinusOneStages) {
  EXPECT_EQ(ring::stages(4), 6);
}

}  // namespace
}  // namespace lockstep
