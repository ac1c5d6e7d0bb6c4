#include "graph.h"

#include <algorithm>

#include "capture.h"
#include "cuda_runtime_api.h"
#include "device.h"
#include "fault.h"

namespace lockstep::emulator {

GraphExec::GraphExec(const Graph& graph) : graph_(graph), awaited_(graph.nodes.size()) {
  for (std::size_t node = 0; node < graph_.nodes.size(); ++node) {
    const std::size_t lane = choose_lane(node);
    if (lane == lanes_.size()) {
      Device* device = graph_.nodes[node].device;
      lanes_.push_back(
          {device, node, lane == 0 ? nullptr : runtime().make_stream(*device, false, 0)});
    }
    lanes_[lane].last = node;
    lane_of_.push_back(lane);
    for (const std::size_t before : graph_.nodes[node].dependencies) {
      if (lane_of_[before] != lane) awaited_[before] = true;
    }
  }
}

// That of a node that this one comes after, where nothing else has followed it yet.
std::size_t GraphExec::choose_lane(std::size_t node) const {
  for (const std::size_t before : graph_.nodes[node].dependencies) {
    const Lane& lane = lanes_[lane_of_[before]];
    if (lane.last == before && lane.device == graph_.nodes[node].device) return lane_of_[before];
  }
  return lanes_.size();
}

Stream& GraphExec::lane_stream(std::size_t lane, Stream& launched_into) {
  return lane == 0 ? launched_into : *lanes_[lane].stream;
}

void GraphExec::launch(const std::shared_ptr<Stream>& stream) {
  if (last_run_) stream->push(wait_operation(last_run_));
  if (lanes_.size() > 1) {
    const auto begin = stream->mark();
    for (std::size_t lane = 1; lane < lanes_.size(); ++lane) {
      lanes_[lane].stream->push(wait_operation(begin));
    }
  }
  std::vector<std::shared_ptr<Signal>> ended(graph_.nodes.size());
  for (std::size_t node = 0; node < graph_.nodes.size(); ++node) push(node, *stream, ended);
  for (std::size_t lane = 1; lane < lanes_.size(); ++lane) {
    stream->push(wait_operation(lanes_[lane].stream->mark()));
  }
  last_run_ = stream->mark();
}

void GraphExec::push(std::size_t node, Stream& launched_into,
                     std::vector<std::shared_ptr<Signal>>& ended) {
  const std::size_t lane = lane_of_[node];
  Stream& stream = lane_stream(lane, launched_into);
  for (const std::size_t before : graph_.nodes[node].dependencies) {
    if (lane_of_[before] != lane) stream.push(wait_operation(ended[before]));
  }
  stream.push(graph_.nodes[node].operation);
  if (awaited_[node]) ended[node] = stream.mark();
}

}  // namespace lockstep::emulator

using namespace lockstep::emulator;

cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t* nodes, std::size_t* count) {
  return api([&] {
    require(nodes == nullptr, cudaErrorNotSupported);  // there are no handles of nodes
    const std::lock_guard lock(runtime().mutex);
    *count = runtime().graphs.get(graph)->nodes.size();
  });
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long) {
  return api([&] {
    require(!faults().allocation.next(), cudaErrorMemoryAllocation);
    const std::lock_guard lock(runtime().mutex);
    *exec = runtime().graph_execs.add(std::make_shared<GraphExec>(*runtime().graphs.get(graph)));
  });
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream) {
  return api([&] {
    const std::lock_guard lock(runtime().mutex);
    const auto into = runtime().stream(stream);
    const auto graph = runtime().graph_execs.get(exec);
    require(!into->capture, cudaErrorStreamCaptureUnsupported);
    begin_work(into);
    graph->launch(into);
    end_work(into);
  });
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  return api([&] {
    const std::lock_guard lock(runtime().mutex);
    runtime().graphs.remove(graph);
  });
}

// Waits for the runs under way: their operations are the graph's.
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
  return api([&] {
    std::shared_ptr<GraphExec> last;
    const std::lock_guard lock(runtime().mutex);
    last = runtime().graph_execs.remove(exec);
  });
}
