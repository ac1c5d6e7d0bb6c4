// The machine that a run was measured on.
#pragma once

#include <cstdint>
#include <string>

namespace lockstep {

// CPUs that this process may use: its affinity mask, and the cgroup's CPU quota rounded up.
int usable_cpus();

struct Machine {
  std::string host;
  std::string os;      // "Debian GNU/Linux 12 (bookworm)"
  std::string kernel;  // "Linux 6.1.0 x86_64"
  std::string cpu;     // model name
  int cpus_online = 0;
  int cpus_usable = 0;
  double cpu_quota = 0.0;        // of the cgroup, in CPUs; 0: none
  int64_t memory_bytes = 0;      // installed, or the cgroup's limit where lower
  int64_t memory_available = 0;  // now
  std::string simd;              // the vector instructions that own loops use: "AVX2"
  std::string gemm;              // what multiplies bf16 matrices: "oneDNN 2.6.0 (AVX-512)"
  std::string bf16;              // by which instructions: "AMX", "AVX512_BF16"; empty: none
  std::string nvidia_driver;     // "580.65.06"; empty: none is loaded, or it cannot be seen
};

// Reads /proc and /sys; what cannot be read is empty or 0.
Machine describe_machine();

}  // namespace lockstep
