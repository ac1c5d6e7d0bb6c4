#include "backend/cuda_phases.h"

#include <algorithm>

namespace lockstep {

void CudaPhases::mark(double StepSeconds::*phase, const TraceEvent* what, cudaStream_t stream) {
  if (next_ == marks_.size()) {
    marks_.push_back({phase, what != nullptr, what ? *what : TraceEvent{},
                      std::make_unique<Event>(Event::Timing::on)});
  }
  const cudaEvent_t event = marks_[next_++].event->get();
  cudaStreamCaptureStatus capture = cudaStreamCaptureStatusNone;
  check(cudaStreamIsCapturing(stream, &capture), "cudaStreamIsCapturing");
  const bool captured = capture == cudaStreamCaptureStatusActive;
  check(cudaEventRecordWithFlags(event, stream,
                                 captured ? cudaEventRecordExternal : cudaEventRecordDefault),
        "cudaEventRecordWithFlags");
}

void CudaPhases::add_to(StepSeconds& seconds) const {
  constexpr double kMillisecond = 1e-3;
  for (size_t i = 1; i < marks_.size(); ++i) {
    if (!marks_[i].phase) continue;
    float milliseconds = 0.0F;
    check(cudaEventElapsedTime(&milliseconds, marks_[i - 1].event->get(), marks_[i].event->get()),
          "cudaEventElapsedTime");
    seconds.*marks_[i].phase += kMillisecond * milliseconds;
  }
}

void CudaPhases::add_to(CudaTimeline& timeline, int64_t step) const {
  for (size_t i = 1; i < marks_.size(); ++i) {
    const Mark& mark = marks_[i];
    if (mark.ends) timeline.add(mark.what, step, *marks_[i - 1].event, *mark.event);
  }
}

bool CudaPhases::has(double StepSeconds::*phase) const {
  return std::ranges::any_of(marks_, [&](const Mark& mark) { return mark.phase == phase; });
}

}  // namespace lockstep
