#include "event.h"

#include <chrono>

#include "capture.h"
#include "cuda_runtime_api.h"
#include "device.h"
#include "fault.h"
#include "settings.h"

using namespace lockstep::emulator;

namespace {

// A graph's node that records an event, in every run of the graph.
class RecordOperation : public Operation {
 public:
  explicit RecordOperation(std::shared_ptr<Event> event) : event_(std::move(event)) {}
  void run(Stream&) const override {
    auto signal = std::make_shared<Signal>();
    signal->fire();
    const std::lock_guard lock(runtime().mutex);
    event_->signal = std::move(signal);
  }
  bool bookkeeping() const override { return true; }

 private:
  std::shared_ptr<Event> event_;
};

}  // namespace

cudaError_t cudaEventCreate(cudaEvent_t* event) {
  return cudaEventCreateWithFlags(event, cudaEventDefault);
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
  return api([&] {
    require(!faults().allocation.next(), cudaErrorMemoryAllocation);
    const std::lock_guard lock(runtime().mutex);
    auto made = std::make_shared<Event>();
    made->device = &runtime().current();
    made->timing = (flags & cudaEventDisableTiming) == 0;
    *event = runtime().events.add(std::move(made));
  });
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  return api([&] {
    const std::lock_guard lock(runtime().mutex);
    runtime().events.remove(event);
  });
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  return cudaEventRecordWithFlags(event, stream, cudaEventRecordDefault);
}

cudaError_t cudaEventRecordWithFlags(cudaEvent_t event, cudaStream_t stream, unsigned flags) {
  return api([&] {
    require(flags == cudaEventRecordDefault || flags == cudaEventRecordExternal);
    const std::lock_guard lock(runtime().mutex);
    const auto in = runtime().stream(stream);
    Event& recorded = *runtime().events.get(event);
    require(recorded.device == &in->device(), cudaErrorInvalidResourceHandle);
    if (flags == cudaEventRecordExternal) {
      require(in->capture != nullptr);
      recorded.captured = false;
      submit(in, std::make_shared<RecordOperation>(runtime().events.get(event)));
      return;
    }
    recorded.captured = in->capture != nullptr;
    recorded.capture = in->capture;
    recorded.signal.reset();
    if (in->capture) {
      require(in->capture->valid(), cudaErrorStreamCaptureInvalidated);
      recorded.nodes = in->capture->heads(*in);
    } else {
      recorded.signal = std::make_shared<Signal>();
      submit(in, fire_operation(recorded.signal));
    }
  });
}

namespace {

void wait_in_capture(Stream& stream, const Event& event, bool dropped) {
  const auto capture = event.capture.lock();
  require(capture != nullptr, cudaErrorCapturedEvent);
  require(!stream.capture || stream.capture == capture, cudaErrorStreamCaptureMerge);
  require(capture->valid(), cudaErrorStreamCaptureInvalidated);
  stream.capture = capture;
  capture->wait(stream, event.nodes, dropped);
}

}  // namespace

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  return api([&] {
    const std::lock_guard lock(runtime().mutex);
    const auto waiting = runtime().stream(stream);
    const Event& awaited = *runtime().events.get(event);
    const bool dropped = faults().event_wait.next();
    if (awaited.captured) {
      wait_in_capture(*waiting, awaited, dropped);
      return;
    }
    if (!awaited.signal) return;  // never recorded: nothing to wait for
    require(!waiting->capture, cudaErrorStreamCaptureIsolation);
    if (!dropped) submit(waiting, wait_operation(awaited.signal));
  });
}

namespace {

std::shared_ptr<Signal> signal_of(cudaEvent_t event) {
  const std::lock_guard lock(runtime().mutex);
  const Event& asked = *runtime().events.get(event);
  require(!asked.captured, cudaErrorCapturedEvent);
  return asked.signal;
}

}  // namespace

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  return api([&] {
    if (const auto signal = signal_of(event)) signal->wait();
  });
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
  const Quiet quiet;
  try {
    const auto signal = signal_of(event);
    if (signal && !signal->order_if_fired()) return cudaErrorNotReady;  // is no error to remember
  } catch (const Failure& failure) {
    return last_error() = failure.error;
  }
  const cudaError_t sticky = sticky_error_of_current_device();
  if (sticky != cudaSuccess) last_error() = sticky;
  return sticky;
}

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t end) {
  return api([&] {
    const std::lock_guard lock(runtime().mutex);
    const Event& first = *runtime().events.get(start);
    const Event& second = *runtime().events.get(end);
    require(first.timing && second.timing && first.signal && second.signal,
            cudaErrorInvalidResourceHandle);
    require(first.signal->fired() && second.signal->fired(), cudaErrorNotReady);
    using Milliseconds = std::chrono::duration<float, std::milli>;
    const Milliseconds elapsed =
        settings().virtual_time
            ? Milliseconds(second.signal->virtual_time() - first.signal->virtual_time())
            : Milliseconds(second.signal->time() - first.signal->time());
    *milliseconds = elapsed.count();
  });
}
