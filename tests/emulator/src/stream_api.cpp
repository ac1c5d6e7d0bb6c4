// The API of streams.
#include "capture.h"
#include "cuda_runtime_api.h"
#include "device.h"
#include "fault.h"

using namespace lockstep::emulator;

cudaError_t cudaStreamCreate(cudaStream_t* stream) {
  return cudaStreamCreateWithPriority(stream, cudaStreamDefault, 0);
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  return cudaStreamCreateWithPriority(stream, flags, 0);
}

cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned flags, int priority) {
  return api([&] {
    require(flags == cudaStreamDefault || flags == cudaStreamNonBlocking);
    require(!faults().allocation.next(), cudaErrorMemoryAllocation);
    const std::lock_guard lock(runtime().mutex);
    *stream = runtime().streams.add(
        runtime().make_stream(runtime().current(), flags == cudaStreamDefault, priority));
  });
}

// Returns when the stream has done its work, where CUDA's returns at once; it orders nothing.
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  return api([&] {
    std::shared_ptr<Stream> last;  // ends after the lock
    const std::lock_guard lock(runtime().mutex);
    require(!runtime().stream(stream)->capture, cudaErrorStreamCaptureUnsupported);
    last = runtime().streams.remove(stream);
  });
}

namespace {

std::shared_ptr<Signal> end_of(cudaStream_t handle) {
  const std::lock_guard lock(runtime().mutex);
  const auto stream = runtime().stream(handle);
  if (stream->capture) {
    stream->capture->invalidate();
    throw Failure{cudaErrorStreamCaptureUnsupported};
  }
  return stream->mark();
}

}  // namespace

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  return api([&] { end_of(stream)->wait(); });
}

cudaError_t cudaStreamQuery(cudaStream_t stream) {
  bool ended = false;
  const cudaError_t error = api([&] { ended = end_of(stream)->order_if_fired(); });
  if (error != cudaSuccess) return error;
  return ended ? cudaSuccess : cudaErrorNotReady;
}

cudaError_t cudaStreamGetPriority(cudaStream_t stream, int* priority) {
  return api([&] {
    const std::lock_guard lock(runtime().mutex);
    *priority = runtime().stream(stream)->priority();
  });
}

cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t function, void* argument) {
  return api([&] {
    require(function != nullptr);
    const std::lock_guard lock(runtime().mutex);
    submit(runtime().stream(stream), host_operation(function, argument));
  });
}
