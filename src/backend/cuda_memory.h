// Memory, streams and graphs of a GPU, owned. All belong to the device that was current when they
// were made, which must be current when they end.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <new>
#include <span>
#include <utility>

#include "kernels/check.h"

namespace lockstep {

// Throw unless `error` is cudaSuccess; where memory ran out, what `what` needed of it and what is
// free. 0 bytes: not known.
void check_allocation(cudaError_t error, const char* what, std::size_t bytes,
                      const char* file = __builtin_FILE(), int line = __builtin_LINE());
void check_pinned_allocation(cudaError_t error, std::size_t bytes,
                             const char* file = __builtin_FILE(), int line = __builtin_LINE());

// Uninitialised device memory; empty: null.
template <class T>
class DeviceArray {
 public:
  DeviceArray() = default;
  explicit DeviceArray(std::size_t size) : size_(size) {
    const std::size_t bytes = size * sizeof(T);
    if (size > 0) check_allocation(cudaMalloc(&data_, bytes), "an array", bytes);
  }
  DeviceArray(DeviceArray&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  DeviceArray& operator=(DeviceArray&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~DeviceArray() {
    if (data_) (void)cudaFree(data_);
  }

  T* data() const { return data_; }
  std::size_t size() const { return size_; }

  // The copies return when the host's side may be used again.
  void upload(std::span<const T> from, cudaStream_t stream) const {
    if (from.empty()) return;
    check(cudaMemcpyAsync(data_, from.data(), from.size_bytes(), cudaMemcpyHostToDevice, stream),
          "cudaMemcpyAsync");
    check(cudaStreamSynchronize(stream), "cudaStreamSynchronize");
  }
  void download(std::span<T> to, cudaStream_t stream) const {
    if (to.empty()) return;
    check(cudaMemcpyAsync(to.data(), data_, to.size_bytes(), cudaMemcpyDeviceToHost, stream),
          "cudaMemcpyAsync");
    check(cudaStreamSynchronize(stream), "cudaStreamSynchronize");
  }
  void clear(cudaStream_t stream) const {
    if (size_ == 0) return;
    check(cudaMemsetAsync(data_, 0, size_ * sizeof(T), stream), "cudaMemsetAsync");
  }

 private:
  T* data_ = nullptr;
  std::size_t size_ = 0;
};

// Pinned host memory, uninitialised; empty: null.
template <class T>
class PinnedArray {
 public:
  explicit PinnedArray(std::size_t size) : size_(size) {
    void* memory = nullptr;
    const std::size_t bytes = size * sizeof(T);
    if (size > 0) {
      check_pinned_allocation(cudaHostAlloc(&memory, bytes, cudaHostAllocDefault), bytes);
    }
    data_ = static_cast<T*>(memory);
  }
  PinnedArray(const PinnedArray&) = delete;
  PinnedArray& operator=(const PinnedArray&) = delete;
  ~PinnedArray() {
    if (data_) (void)cudaFreeHost(data_);
  }

  T* data() const { return data_; }
  std::size_t size() const { return size_; }

 private:
  T* data_ = nullptr;
  std::size_t size_ = 0;
};

// One T in pinned host memory that the device writes to.
template <class T>
class MappedValue {
 public:
  MappedValue() {
    void* memory = nullptr;
    check_pinned_allocation(cudaHostAlloc(&memory, sizeof(T), cudaHostAllocMapped), sizeof(T));
    host_ = new (memory) T();
    const cudaError_t error =
        cudaHostGetDevicePointer(reinterpret_cast<void**>(&device_), memory, 0);
    if (error != cudaSuccess) (void)cudaFreeHost(memory);
    check(error, "cudaHostGetDevicePointer");
  }
  MappedValue(const MappedValue&) = delete;
  MappedValue& operator=(const MappedValue&) = delete;
  ~MappedValue() { (void)cudaFreeHost(host_); }

  T* host() const { return host_; }
  T* device() const { return device_; }

 private:
  T* host_ = nullptr;
  T* device_ = nullptr;
};

class Stream {
 public:
  Stream() {
    check_allocation(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "a stream", 0);
  }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  ~Stream() { (void)cudaStreamDestroy(stream_); }

  cudaStream_t get() const { return stream_; }
  void synchronize() const { check(cudaStreamSynchronize(stream_), "cudaStreamSynchronize"); }

 private:
  cudaStream_t stream_ = nullptr;
};

// A point in a stream's work.
class Event {
 public:
  enum class Timing { off, on };
  explicit Event(Timing timing = Timing::off) {
    const unsigned flags = timing == Timing::on ? cudaEventDefault : cudaEventDisableTiming;
    check_allocation(cudaEventCreateWithFlags(&event_, flags), "an event", 0);
  }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  ~Event() { (void)cudaEventDestroy(event_); }

  void swap(Event& other) noexcept { std::swap(event_, other.event_); }

  cudaEvent_t get() const { return event_; }
  void record(cudaStream_t stream) { check(cudaEventRecord(event_, stream), "cudaEventRecord"); }
  // Of the last record; nothing is waited for where there was none.
  void synchronize() const { check(cudaEventSynchronize(event_), "cudaEventSynchronize"); }
  void let_wait(cudaStream_t stream) const {
    check(cudaStreamWaitEvent(stream, event_, 0), "cudaStreamWaitEvent");
  }

 private:
  cudaEvent_t event_ = nullptr;
};

// What `work` queues on `stream`, to be launched as one.
class Graph {
 public:
  Graph() = default;
  template <class Work>
  Graph(cudaStream_t stream, const Work& work) {
    check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal),
          "cudaStreamBeginCapture");
    cudaGraph_t graph = nullptr;
    try {
      work();
    } catch (...) {
      (void)cudaStreamEndCapture(stream, &graph);
      if (graph) (void)cudaGraphDestroy(graph);
      throw;
    }
    check(cudaStreamEndCapture(stream, &graph), "cudaStreamEndCapture");
    cudaError_t error = cudaGraphGetNodes(graph, nullptr, &nodes_);
    if (error == cudaSuccess) error = cudaGraphInstantiate(&executable_, graph, 0);
    (void)cudaGraphDestroy(graph);
    check_allocation(error, "the graph of a training step", 0);
  }
  Graph(Graph&& other) noexcept
      : executable_(std::exchange(other.executable_, nullptr)), nodes_(other.nodes_) {}
  Graph& operator=(Graph&& other) noexcept {
    std::swap(executable_, other.executable_);
    std::swap(nodes_, other.nodes_);
    return *this;
  }
  ~Graph() {
    if (executable_) (void)cudaGraphExecDestroy(executable_);
  }

  void launch(cudaStream_t stream) const {
    check(cudaGraphLaunch(executable_, stream), "cudaGraphLaunch");
  }
  std::size_t nodes() const { return nodes_; }

 private:
  cudaGraphExec_t executable_ = nullptr;
  std::size_t nodes_ = 0;
};

}  // namespace lockstep
