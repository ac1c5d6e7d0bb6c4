// What this machine offers to a training, and what is in its way.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "lockstep/device.h"
#include "lockstep/process_group.h"
#include "train/machine.h"

namespace lockstep::cli {

enum class Verdict { pass, warn, fail };
const char* to_string(Verdict verdict);

struct Finding {
  std::string name;  // "memory"
  Verdict verdict = Verdict::pass;
  std::string detail;              // what was found
  std::string remedy;              // where it is no pass
  std::optional<double> measured;  // the number that was judged, against ...
  std::optional<double> limit;
};

// Looks at the machine and at the folder that results would go to (empty: the current one).
std::vector<Finding> examine(const Machine& machine, const std::string& out);

// The single judgements, apart from what reads the system.
Finding judge_cpus(const Machine& machine);
Finding judge_simd(const Machine& machine);
Finding judge_bf16(const Machine& machine);
Finding judge_memory(const Machine& machine);
Finding judge_load(double load, int cpus);
Finding judge_governor(const std::string& governor);
// `setting` is the text of /sys/kernel/mm/transparent_hugepage/enabled: "always [madvise] never".
Finding judge_huge_pages(const std::string& setting);
Finding judge_disk(const std::string& folder);

// Of GPUs (doctor_gpus.cpp): the build, the driver and what they find; then, of each GPU, whether
// kernels run on it, its memory, and how far its times can be trusted.
Finding judge_cuda(const GpuSurvey& survey);
// `version`: empty where this build has none.
Finding judge_nccl(const std::string& version, const GpuSurvey& survey);
Finding judge_gpu(const Gpu& gpu, const GpuDiagnosis& diagnosis);
Finding judge_gpu_memory(const Gpu& gpu, const GpuMemory& memory);
Finding judge_gpu_sharing(const Gpu& gpu);
Finding judge_ecc(const Gpu& gpu);
// `measured`: at light work; 0: not measured.
Finding judge_clocks(const Gpu& gpu, double measured_mhz);
// Opens the GPU.
std::vector<Finding> examine_gpu(const Gpu& gpu);

// Of the ranks that a launcher started, all of which call it (doctor_ranks.cpp).
std::vector<Finding> examine_ranks(ProcessGroup& ranks);

}  // namespace lockstep::cli
