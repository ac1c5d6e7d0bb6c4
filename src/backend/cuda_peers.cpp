#include "backend/cuda_peers.h"

#include <array>
#include <chrono>
#include <limits>
#include <thread>

#include "backend/profiler_range.h"
#include "kernels/shared_step.h"
#include "kernels/wire.h"

namespace lockstep {

namespace {

constexpr double kMillisecond = 1e-3;

int64_t bytes_of(std::span<const WireSpan> spans) {
  int64_t bytes = 0;
  for (const WireSpan& span : spans) bytes += static_cast<int64_t>(span.count * sizeof(float));
  return bytes;
}

void copy(const DeviceArray<float>& from, const DeviceArray<float>& to, cudaStream_t stream) {
  if (from.size() == 0) return;
  check(cudaMemcpyAsync(to.data(), from.data(), from.size() * sizeof(float),
                        cudaMemcpyDeviceToDevice, stream),
        "cudaMemcpyAsync");
}

}  // namespace

CudaPeers::CudaPeers(CudaModel& model, const EpochJob& job, CudaSharedStep* step,
                     const DeviceArray<StepState>& state, CudaReport& report, CudaFeed& feed,
                     std::function<void()> wait_for_room, cudaStream_t stream)
    : model_(model),
      job_(job),
      communicator_(*job.exchange.communicator),
      stream_(stream),
      feed_(feed),
      step_(step),
      state_(state),
      report_(report),
      wait_for_room_(std::move(wait_for_room)) {
  communicator_.watch({.queued = &queued_,
                       .waiting = &waiting_,
                       .steps = &report.host().steps,
                       .buckets = &report.host().buckets,
                       .all_buckets = &buckets_});
}

CudaPeers::~CudaPeers() {
  communicator_.watch({});
  (void)cudaStreamSynchronize(communicator_.stream());
}

void CudaPeers::wait() {
  constexpr int kSpins = 200;
  waiting_.store(true, std::memory_order_relaxed);
  try {
    for (int look = 0;; ++look) {
      check();
      const cudaError_t error = cudaStreamQuery(stream_);
      if (error == cudaSuccess) break;
      if (error != cudaErrorNotReady) lockstep::check(error, "a training step");
      if (look < kSpins) {
        std::this_thread::yield();
      } else {
        std::this_thread::sleep_for(std::chrono::microseconds(20));
      }
    }
    check();  // an abort ends what is queued
  } catch (...) {
    waiting_.store(false, std::memory_order_relaxed);
    throw;
  }
  waiting_.store(false, std::memory_order_relaxed);
}

void CudaPeers::use_buckets(const std::vector<Range>& buckets) {
  if (!step_) return;
  step_->use_buckets(buckets);
  buckets_.store(static_cast<unsigned>(step_->buckets()), std::memory_order_relaxed);
}

double CudaPeers::try_step() {
  const int64_t samples = job_.batch(0).size();
  Event begin(Event::Timing::on), end(Event::Timing::on);
  feed_.begin(0, 0, 0, nullptr, stream_);
  begin.record(stream_);
  step_->launch_exchange(samples, 0);
  end.record(stream_);
  feed_.end(0, stream_);
  wait();
  state_.upload({std::array<StepState, 1>{}}, stream_);  // its loss is not training's
  float milliseconds = 0.0F;
  lockstep::check(cudaEventElapsedTime(&milliseconds, begin.get(), end.get()),
                  "cudaEventElapsedTime");
  return kMillisecond * milliseconds;
}

// Each worker's share of the mean, then their sum.
void CudaPeers::average(float weight, AverageState state) {
  const ProfilerRange range("average");
  const cudaStream_t side = communicator_.stream();
  const bool recorded = trace_ && trace_->recording() && !timeline_->is_due();
  if (recorded && marked_) {
    wait();
    read_average();
  }
  const bool mark = !marked_;
  if (mark) {
    recorded_step_ = recorded ? trace_->step() : -1;
    waiting_marks_.restart();
    moving_marks_.restart();
    waiting_marks_.begin(stream_);
  }
  ready_.record(stream_);
  ready_.let_wait(side);
  if (mark) moving_marks_.begin(side);
  std::vector<WireSpan> spans;
  const auto add = [&](const DeviceArray<float>& values) {
    scale_values(values.data(), values.size(), weight, side);
    spans.push_back({values.data(), values.size(), WireType::fp32});
  };
  add(model_.values());
  if (state == AverageState::yes && model_.states().size() > 0) add(model_.states());
  count(spans);
  const StepPointers step{.state = state_.data(), .report = report_.device()};
  write_tail(model_.tail(), 0, step, side);
  spans.push_back({model_.tail(), kTailFloats, WireType::fp32});
  communicator_.all_reduce(spans);
  report_votes(step, model_.tail(), side);
  if (mark) {
    moving_marks_.end(&StepSeconds::communication,
                      {.bytes = bytes_of(spans),
                       .phase = TracePhase::communication,
                       .track = TraceTrack::communication_stream},
                      side);
  }
  averaged_.record(side);
  averaged_.let_wait(stream_);
  if (mark) {
    waiting_marks_.end(
        &StepSeconds::exposed_communication,
        {.phase = TracePhase::exposed_communication, .track = TraceTrack::compute_stream}, stream_);
  }
  marked_ = true;
  ++averages_;
}

void CudaPeers::count(const std::vector<WireSpan>& spans) {
  const int64_t size = communicator_.size();
  for (const WireSpan& span : spans) {
    const auto bytes = static_cast<int64_t>(span.count * sizeof(float));
    ++counters_.calls;
    counters_.bytes += bytes;
    counters_.wire_bytes += 2 * (size - 1) * bytes / size;
  }
}

void CudaPeers::read_average() {
  if (!marked_) return;
  marked_ = false;
  if (measured_ == 0) seconds_.communication = seconds_.exposed_communication = 0.0;
  waiting_marks_.add_to(seconds_);
  moving_marks_.add_to(seconds_);
  ++measured_;
  if (recorded_step_ < 0) return;
  waiting_marks_.add_to(*timeline_, recorded_step_);
  moving_marks_.add_to(*timeline_, recorded_step_);
}

StepSeconds CudaPeers::average_seconds() const {
  StepSeconds all;
  if (measured_ == 0) return all;
  const double scale = static_cast<double>(averages_) / static_cast<double>(measured_);
  all.communication = scale * seconds_.communication;
  all.exposed_communication = scale * seconds_.exposed_communication;
  return all;
}

// Somebody's vote counts from kStepsAhead steps later on, when every host knows of it, or from the
// next epoch on. So all workers stop before the same step.
bool CudaPeers::stops_before(int64_t step) {
  if (step != epoch_step_) wait_for_room_();
  const int64_t stop = report_.stop_step(step);
  return stop >= 0 && (stop < epoch_step_ || stop + kStepsAhead <= step);
}

void CudaPeers::keep_replica() {
  if (kept_values_.size() == 0) {
    kept_values_ = DeviceArray<float>(model_.values().size());
    kept_states_ = DeviceArray<float>(model_.states().size());
  }
  copy(model_.values(), kept_values_, stream_);
  copy(model_.states(), kept_states_, stream_);
}

void CudaPeers::restore_replica() {
  copy(kept_values_, model_.values(), stream_);
  copy(kept_states_, model_.states(), stream_);
}

}  // namespace lockstep
