// Where a run computes: the CPU or NVIDIA GPUs. What GPUs there are, why there are none, and the
// choice that `--device` makes among them. The same interface in every build: one without CUDA
// (no_cuda.cpp) has no GPUs and says so.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "lockstep/error.h"

namespace lockstep {

// Why a GPU, or any GPU, cannot be used.
enum class GpuProblem {
  none,
  not_built,        // this build has no CUDA support
  no_driver,        // no NVIDIA driver is installed
  driver_too_old,   // the driver does not run programs of this CUDA version
  no_device,        // a driver, and no GPU that it lets this process see
  no_kernel_image,  // this build has no code for the GPU's architecture
  out_of_memory,    // other programs hold the GPU's memory
  failed,           // anything else that CUDA reports
};

struct GpuDiagnosis {
  GpuProblem problem = GpuProblem::none;
  std::string message;  // what is the matter, with the names and numbers that were found
  std::string remedy;   // what to do about it

  bool usable() const { return problem == GpuProblem::none; }
  // This as an Error (device). REQUIRES: not usable().
  Error error() const;
};

// What CUDA says of one GPU. Reading it takes no memory on the GPU.
struct Gpu {
  int index = 0;     // as CUDA counts: CUDA_VISIBLE_DEVICES and the driver's order
  std::string name;  // "NVIDIA H100 80GB HBM3"
  std::string uuid;  // "GPU-6b4f..."
  std::string pci;   // "0000:01:00.0"
  int major = 0;     // compute capability
  int minor = 0;
  int multiprocessors = 0;
  int64_t memory_bytes = 0;
  std::optional<bool> ecc;  // error correction is on
  int clock_mhz = 0;        // highest; 0: not known
  int memory_clock_mhz = 0;
  int memory_bus_bits = 0;  // 0: not known
  bool exclusive = false;   // compute mode: one process at a time
  bool prohibited = false;  // compute mode: no process

  std::string capability() const;  // "9.0"
};

// The machine's GPUs and the software between them and this program.
struct GpuSurvey {
  bool built = false;         // with CUDA, or with its emulator
  bool emulated = false;      // the GPUs are emulated on the CPU: results are real, times are not
  bool cublas = false;        // built with NVIDIA's matrix products (cuBLASLt)
  std::string runtime;        // CUDA version that this program is built with, "13.0"; empty: none
  std::string driver;         // newest CUDA version that the driver runs, "13.0"; empty: no driver
  std::string architectures;  // what kernels are compiled for: "75 80 86 89 90 and PTX of 90"
  std::vector<Gpu> gpus;
  GpuDiagnosis diagnosis;  // why `gpus` is empty
};

// Asks the driver once a process, and again only where `GpuSurvey::gpus` could have changed, which
// it cannot: later calls return the same. Any thread.
const GpuSurvey& survey_gpus();

struct GpuMemory {
  int64_t free = 0;
  int64_t total = 0;
};

// Opens GPU `index` (about 0.3 s and 300 MB of its memory, which stay until the process ends) and
// runs a kernel on it, whose result is checked. Any thread; leaves that GPU the thread's current
// one. REQUIRES: 0 <= index < survey_gpus().gpus.size().
GpuDiagnosis probe_gpu(int index);

// Free and total memory of an opened GPU, now. Throws Error (device). REQUIRES as probe_gpu().
GpuMemory gpu_memory(int index);

// The clock of GPU `index` at light work on all multiprocessors, in MHz: runs it for about 0.1 s.
// Throws Error (device). REQUIRES as probe_gpu().
double gpu_clock_mhz(int index);

// What to throw where GPU `index` has less memory free than `what` needs; 0: that is not known.
Error gpu_out_of_memory(int index, const std::string& what, int64_t needed, int64_t free);

// `--device`, read: auto, cpu, cuda, cuda:N or cuda:N,M,...
struct DeviceRequest {
  enum class Kind { automatic, cpu, cuda } kind = Kind::automatic;
  std::vector<int> gpus;  // cuda: those named; empty: the first as many as there are workers
};

// Throws Error{usage} for a text that is no device.
DeviceRequest parse_device(const std::string& text);

// Where a run's workers compute.
struct DeviceChoice {
  std::vector<int> gpus;  // one a worker; empty: every worker is CPU threads
  bool emulated = false;
  std::string name = "cpu";  // as --device takes it: "cpu", "cuda", "cuda:1"
  std::string reason;        // where `auto` chose: what it took and why

  bool on_gpu() const { return !gpus.empty(); }
};

// A process among those of its machine that belong to one job.
struct LocalPlace {
  int index = 0;
  int count = 1;
};

// Chooses for `workers` workers of this process. `auto` takes the CPU where no GPU can be trained
// on, and says why in `reason`. A GPU asked for by name that cannot be had is Error (device) with a
// remedy. Of several processes of a machine each takes its turn among the GPUs, or among those
// named; one that sees as many as it has workers takes these.
DeviceChoice choose_device(const std::string& device, int workers, LocalPlace place = {});

}  // namespace lockstep
