// CUDA's keywords, which mean nothing to a host compiler.
#pragma once

#define LOCKSTEP_EMULATOR 1

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __grid_constant__
