// Graphs: operations, and what each of them comes after.
#pragma once

#include <memory>
#include <vector>

#include "operation.h"

namespace lockstep::emulator {

class Stream;

struct Graph {
  struct Node {
    OperationPointer operation;
    Device* device;                         // of the stream that it was captured in
    std::vector<std::size_t> dependencies;  // earlier nodes
  };
  std::vector<Node> nodes;
};

// A graph spread over lanes, each of which is a chain. The first runs in the stream that the graph
// is launched into, each other in a stream of its own, so that nothing but the graph's edges orders
// them. REQUIRES the runtime's lock.
class GraphExec {
 public:
  explicit GraphExec(const Graph& graph);

  void launch(const std::shared_ptr<Stream>& stream);

 private:
  std::size_t choose_lane(std::size_t node) const;
  Stream& lane_stream(std::size_t lane, Stream& launched_into);
  void push(std::size_t node, Stream& launched_into, std::vector<std::shared_ptr<Signal>>& ended);

  struct Lane {
    Device* device;
    std::size_t last;                // node
    std::shared_ptr<Stream> stream;  // null for the first
  };

  Graph graph_;
  std::vector<Lane> lanes_;
  std::vector<std::size_t> lane_of_;  // by node
  std::vector<bool> awaited_;         // by node: from another lane
  std::shared_ptr<Signal> last_run_;
};

}  // namespace lockstep::emulator
