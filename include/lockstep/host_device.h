// Marks a function that compiles for the host and, under nvcc, for the device.
#pragma once

#ifdef __CUDACC__
#define LOCKSTEP_HD __host__ __device__
#else
#define LOCKSTEP_HD
#endif
