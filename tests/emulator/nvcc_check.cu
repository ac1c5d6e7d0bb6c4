// What nvcc must compile, although nothing runs it here: the kernels, and their launches.
#include "kernels.cu"
#include "kernels/launch.h"

namespace lockstep::test {

void launch_some(cudaStream_t stream, float* values, int* out) {
  launch({.grid = 4, .block = 64, .stream = stream, .shared_bytes = 64 << 10}, reverse_in_block,
         values);
  launch({.grid = 8, .block = 64, .stream = stream, .shared_bytes = 16, .cluster = 8}, read_cluster,
         out);
  launch({.grid = 1, .block = 64, .stream = stream, .programmatic = true}, read_early, values,
         values + 1, true);
}

}  // namespace lockstep::test
