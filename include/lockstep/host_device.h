// Marks a function of inner loops: always inlined, and compiled under nvcc for host and device.
#pragma once

#ifdef __CUDACC__
#define LOCKSTEP_HD __host__ __device__ __forceinline__
#else
#define LOCKSTEP_HD __attribute__((always_inline)) inline
#endif
