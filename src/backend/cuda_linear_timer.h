// Times of the passes of linear layers, on the current device.
#pragma once

#include "backend/cuda_linear.h"
#include "backend/cuda_memory.h"

namespace lockstep {

class LinearTimer {
 public:
  // For batches of `batch` rows of the network's layers.
  LinearTimer(const LinearNetwork& network, int batch);

  // Where the passes are queued.
  cudaStream_t stream() const { return stream_.get(); }

  struct Seconds {
    double a, b;
  };
  // Of one such pass by each of two implementations that are prepared for it: the median of several
  // measurements, taken in turns so that clocks and temperature are the same for both. Each is a
  // captured graph of several passes, between two events: what is launched one by one would measure
  // the host. Each pass is a step of its own, so that copies of operands that the passes of a real
  // one share count in full. `below` is the activation of the layer below; dropout is off.
  Seconds seconds(LinearProduct product, const LinearLayer& layer, Activation below, LinearOps& a,
                  LinearOps& b);

 private:
  void queue(LinearProduct product, const LinearLayer& layer, Activation below,
             LinearOps& ops) const;
  double measure(const Graph& graph) const;

  int batch_;
  Stream stream_;
  DeviceArray<float> x_, dx_, y_, weight_, bias_, dweight_, dbias_;
};

}  // namespace lockstep
