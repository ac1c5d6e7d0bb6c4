#include "capture.h"

#include <algorithm>

#include "cuda_runtime_api.h"
#include "device.h"
#include "event.h"
#include "fault.h"

namespace lockstep::emulator {

void Capture::add(Stream& stream, OperationPointer operation) {
  require(valid_, cudaErrorStreamCaptureInvalidated);
  graph_.nodes.push_back({std::move(operation), &stream.device(), heads_[&stream]});
  heads_[&stream] = {graph_.nodes.size() - 1};
}

void Capture::wait(Stream& stream, const std::vector<std::size_t>& nodes, bool dropped) {
  auto& heads = heads_[&stream];
  if (dropped) {
    dropped_.insert(nodes.begin(), nodes.end());
    return;
  }
  for (const std::size_t node : nodes) {
    if (std::find(heads.begin(), heads.end(), node) == heads.end()) heads.push_back(node);
  }
}

bool Capture::forbids_unsafe_calls() const {
  switch (mode_) {
    case cudaStreamCaptureModeGlobal: return true;
    case cudaStreamCaptureModeThreadLocal: return thread_ == std::this_thread::get_id();
    case cudaStreamCaptureModeRelaxed: return false;
  }
  return true;
}

std::vector<Stream*> Capture::streams() const {
  std::vector<Stream*> all;
  for (const auto& [stream, heads] : heads_) all.push_back(stream);
  return all;
}

std::shared_ptr<Graph> Capture::end() {
  require(valid_, cudaErrorStreamCaptureInvalidated);
  // Everything captured must come before where the origin ends.
  std::vector<bool> joined(graph_.nodes.size());
  for (const std::size_t node : heads_[origin_]) joined[node] = true;
  for (const std::size_t node : dropped_) joined[node] = true;
  for (std::size_t node = graph_.nodes.size(); node-- > 0;) {
    require(joined[node], cudaErrorStreamCaptureUnjoined);
    for (const std::size_t before : graph_.nodes[node].dependencies) joined[before] = true;
  }
  return std::make_shared<Graph>(std::move(graph_));
}

void check_no_capture_forbids() {
  for (const auto& device : runtime().devices) {
    for (const auto& stream : device->streams()) {
      if (!stream->capture || !stream->capture->forbids_unsafe_calls()) continue;
      stream->capture->invalidate();
      throw Failure{cudaErrorStreamCaptureUnsupported};
    }
  }
}

}  // namespace lockstep::emulator

using namespace lockstep::emulator;

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode) {
  return api([&] {
    const std::lock_guard lock(runtime().mutex);
    const auto origin = runtime().stream(stream);
    require(origin != origin->device().default_stream(), cudaErrorStreamCaptureUnsupported);
    require(!origin->capture, cudaErrorInvalidValue);
    origin->capture = std::make_shared<Capture>(*origin, mode);
  });
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  return api([&] {
    const std::lock_guard lock(runtime().mutex);
    *graph = nullptr;
    const auto origin = runtime().stream(stream);
    const auto capture = origin->capture;
    require(capture != nullptr);
    require(capture->origin() == origin.get(), cudaErrorStreamCaptureUnmatched);
    for (Stream* taking_part : capture->streams()) taking_part->capture.reset();
    const cudaError_t injected = faults().capture.next_error();
    require(injected == cudaSuccess, injected);
    *graph = runtime().graphs.add(capture->end());
  });
}

cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
  return api([&] {
    const std::lock_guard lock(runtime().mutex);
    const auto capture = runtime().stream(stream)->capture;
    *status = !capture           ? cudaStreamCaptureStatusNone
              : capture->valid() ? cudaStreamCaptureStatusActive
                                 : cudaStreamCaptureStatusInvalidated;
  });
}
