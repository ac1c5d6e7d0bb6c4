// In place of nvtx_range.cpp in a build without NVTX.
#include "backend/profiler_range.h"

namespace lockstep {

ProfilerRange::ProfilerRange(const char*, int64_t) {}
ProfilerRange::~ProfilerRange() = default;

}  // namespace lockstep
