// What the host does for a GPU, by name, for profilers that watch it (NVTX: Nsight Systems and the
// like). Ranges nest. Where no profiler is attached a range is a call and a test of a pointer;
// in a build without NVTX it is a call.
#pragma once

#include <cstdint>

namespace lockstep {

// From its making to its end, which must be in the same thread.
class ProfilerRange {
 public:
  // `name` must outlive the program; `number`, where not negative, is shown with it: of the step,
  // of the bucket.
  explicit ProfilerRange(const char* name, int64_t number = -1);
  ProfilerRange(const ProfilerRange&) = delete;
  ProfilerRange& operator=(const ProfilerRange&) = delete;
  ~ProfilerRange();
};

}  // namespace lockstep
