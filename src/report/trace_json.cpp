#include "report/trace_json.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>
#include <tuple>

#include "train/version.h"

namespace lockstep {

namespace {

using Json = nlohmann::ordered_json;

constexpr int kTracks = 5;
constexpr double kMicro = 1e-3;  // of a nanosecond

const char* category(TracePhase phase) {
  switch (phase) {
    case TracePhase::step: return "step";
    case TracePhase::data: return "data";
    case TracePhase::forward:
    case TracePhase::propagate:
    case TracePhase::backward:
    case TracePhase::gradients:
    case TracePhase::fused: return "compute";
    case TracePhase::update: return "update";
    case TracePhase::communication: return "communication";
    case TracePhase::exposed_communication: return "exposed_communication";
    case TracePhase::synchronization: return "synchronization";
    case TracePhase::copy: return "copy";
  }
  return "";
}

std::string name_of(const TraceEvent& event) {
  const bool bucket = event.bucket >= 0;
  switch (event.phase) {
    case TracePhase::step: return fmt::format("step {}", event.step);
    case TracePhase::data: return "data";
    case TracePhase::forward: return "forward";
    case TracePhase::propagate: return "forward and input gradients";
    case TracePhase::backward: return "backward";
    case TracePhase::gradients: return "forward and backward";
    case TracePhase::fused: return "forward, backward and update";
    case TracePhase::update: return "update";
    case TracePhase::communication:
      return bucket ? fmt::format("bucket {}", event.bucket) : "communication";
    case TracePhase::exposed_communication:
      return bucket ? fmt::format("wait for bucket {}", event.bucket) : "wait for communication";
    case TracePhase::synchronization: return "wait for workers";
    case TracePhase::copy: return "copy to the GPU";
  }
  return "";
}

std::string track_name(const Trace& trace, int worker, TraceTrack track) {
  const int gpu = trace.workers[static_cast<size_t>(worker)].gpu;
  switch (track) {
    case TraceTrack::worker: return fmt::format("worker {}", worker);
    case TraceTrack::messages: return fmt::format("worker {}: messages", worker);
    case TraceTrack::compute_stream: return fmt::format("GPU {}: compute", gpu);
    case TraceTrack::communication_stream: return fmt::format("GPU {}: communication", gpu);
    case TraceTrack::copy_stream: return fmt::format("GPU {}: copies", gpu);
  }
  return "";
}

// Numbers of threads are the workers' in the job, so that they say the same in every process.
int thread_of(int worker, TraceTrack track) {
  return worker * kTracks + static_cast<int>(track);
}

Json metadata(const char* what, int process, int thread, Json arguments) {
  return {{"name", what}, {"ph", "M"}, {"pid", process}, {"tid", thread}, {"args", arguments}};
}

std::string process_name(const Trace& trace, int rank) {
  const Trace::Process& process = trace.processes[static_cast<size_t>(rank)];
  if (process.host.empty()) return "lockstep";
  return fmt::format("rank {} ({}, pid {})", rank, process.host, process.pid);
}

class Writer {
 public:
  explicit Writer(const Trace& trace) : trace_(trace) {
    for (const Trace::Worker& worker : trace.workers) {
      for (const TraceEvent& event : worker.events) zero_ = std::min(zero_, event.begin);
    }
  }

  std::string events() {
    for (int rank = 0; rank < static_cast<int>(trace_.processes.size()); ++rank) {
      add(metadata("process_name", rank, 0, {{"name", process_name(trace_, rank)}}).dump());
      add(metadata("process_sort_index", rank, 0, {{"sort_index", rank}}).dump());
    }
    for (int worker = 0; worker < static_cast<int>(trace_.workers.size()); ++worker) {
      add_worker(worker);
    }
    return std::move(text_);
  }

 private:
  void add_worker(int worker) {
    const Trace::Worker& recorded = trace_.workers[static_cast<size_t>(worker)];
    // What surrounds others comes first.
    std::vector<TraceEvent> events = recorded.events;
    std::ranges::stable_sort(events, {}, [](const TraceEvent& event) {
      return std::make_tuple(event.track, event.begin, -event.end);
    });
    std::set<TraceTrack> tracks;
    for (const TraceEvent& event : events) tracks.insert(event.track);
    for (const TraceTrack track : tracks) {
      const int thread = thread_of(worker, track);
      add(metadata("thread_name", recorded.process, thread,
                   {{"name", track_name(trace_, worker, track)}})
              .dump());
      add(metadata("thread_sort_index", recorded.process, thread, {{"sort_index", thread}}).dump());
    }
    for (const TraceEvent& event : events) add(complete(event, recorded.process, worker));
  }

  std::string complete(const TraceEvent& event, int process, int worker) const {
    std::string text = fmt::format(
        R"({{"name":"{}","cat":"{}","ph":"X","ts":{:.3f},"dur":{:.3f},"pid":{},"tid":{})",
        name_of(event), category(event.phase), kMicro * static_cast<double>(event.begin - zero_),
        kMicro * static_cast<double>(event.end - event.begin), process,
        thread_of(worker, event.track));
    fmt::format_to(std::back_inserter(text), R"(,"args":{{"step":{})", event.step);
    if (event.bucket >= 0) {
      fmt::format_to(std::back_inserter(text), R"(,"bucket":{})", event.bucket);
    }
    if (event.bytes >= 0) fmt::format_to(std::back_inserter(text), R"(,"bytes":{})", event.bytes);
    if (!event.parameters.empty()) {
      fmt::format_to(std::back_inserter(text), R"(,"parameters":[{},{}])", event.parameters.begin,
                     event.parameters.end);
    }
    return text + "}}";
  }

  void add(const std::string& event) {
    if (!text_.empty()) text_ += ",\n";
    text_ += event;
  }

  const Trace& trace_;
  int64_t zero_ = std::numeric_limits<int64_t>::max();
  std::string text_;
};

std::string clock_in_words(const Trace& trace) {
  int64_t error = 0;
  bool several = false;
  for (const Trace::Process& process : trace.processes) {
    several = several || process.own_clock;
    error = std::max(error, process.clock_error);
  }
  if (!several) return "the steady clock of one machine";
  return fmt::format(
      "steady clocks of several machines, brought to rank 0's by messages before the first step: "
      "within {:.1f} us",
      kMicro * static_cast<double>(error));
}

}  // namespace

std::string trace_json(const Trace& trace, const std::string& name) {
  const Json other = {{"lockstep", kVersion},
                      {"run", name},
                      {"steps", fmt::format("{}:{}", trace.steps.begin, trace.steps.end)},
                      {"clock", clock_in_words(trace)},
                      {"emulated", trace.emulated}};
  return fmt::format("{{\"displayTimeUnit\":\"ms\",\"otherData\":{},\n\"traceEvents\":[\n{}\n]}}\n",
                     other.dump(), Writer(trace).events());
}

}  // namespace lockstep
