// A capture under way: streams that add to one graph instead of their queues.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <thread>
#include <vector>

#include "graph.h"

namespace lockstep::emulator {

class Stream;

// REQUIRES the runtime's lock.
class Capture {
 public:
  Capture(Stream& origin, cudaStreamCaptureMode mode) : origin_(&origin), mode_(mode) {
    heads_[&origin] = {};
  }

  void add(Stream& stream, OperationPointer operation);

  // What the next operation of the stream comes after.
  const std::vector<std::size_t>& heads(Stream& stream) { return heads_[&stream]; }

  // The stream's next operations come after these nodes; it takes part from now on. `dropped`: it
  // takes part, and does not come after them.
  void wait(Stream& stream, const std::vector<std::size_t>& nodes, bool dropped);

  void invalidate() { valid_ = false; }
  bool valid() const { return valid_; }
  Stream* origin() const { return origin_; }

  // True where the calling thread may not do now what could wait for the capture's work.
  bool forbids_unsafe_calls() const;

  std::vector<Stream*> streams() const;
  // Throws Failure: cudaErrorStreamCaptureInvalidated, cudaErrorStreamCaptureUnjoined.
  std::shared_ptr<Graph> end();

 private:
  Stream* origin_;
  cudaStreamCaptureMode mode_;
  std::thread::id thread_ = std::this_thread::get_id();
  bool valid_ = true;
  Graph graph_;
  std::map<Stream*, std::vector<std::size_t>> heads_;
  std::set<std::size_t> dropped_;
};

// Throws Failure, and invalidates the capture, where a stream captures and the calling thread is
// about to do what a capture does not allow.
void check_no_capture_forbids();

}  // namespace lockstep::emulator
