// The doctor's judgements of CUDA and of each GPU.
#include <fmt/format.h>

#include "cli/doctor.h"
#include "report/format.h"

namespace lockstep::cli {

namespace {

std::string named(const Gpu& gpu, const char* what) {
  return fmt::format("GPU {}{}{}", gpu.index, *what ? " " : "", what);
}

std::string gigahertz(int megahertz) {
  return megahertz > 0 ? fmt::format("{:.2f} GHz", megahertz / 1e3) : "not known";
}

}  // namespace

// Without a usable GPU training runs on the CPU: nothing has failed, unless a GPU is there that
// could be used.
Finding judge_cuda(const GpuSurvey& survey) {
  Finding finding{"CUDA", Verdict::pass, {}, {}, {}, {}};
  if (!survey.built) {
    const bool idle = survey.diagnosis.message.find("driver") != std::string::npos;
    finding.detail = idle ? survey.diagnosis.message : "not in this build, which trains on CPUs";
    if (idle) {
      finding.verdict = Verdict::warn;
      finding.remedy = survey.diagnosis.remedy;
    }
    return finding;
  }
  const char* emulated = survey.emulated ? "emulated on the CPU, " : "";
  finding.detail =
      fmt::format("{}built with {} for {}; driver: {}", emulated, survey.runtime,
                  survey.architectures, survey.driver.empty() ? "none" : "CUDA " + survey.driver);
  finding.measured = static_cast<double>(survey.gpus.size());
  if (!survey.diagnosis.usable()) {
    finding.verdict = Verdict::warn;
    finding.detail += ". No GPU: " + survey.diagnosis.message;
    finding.remedy = survey.diagnosis.remedy;
  }
  return finding;
}

// One GPU needs no NCCL.
Finding judge_nccl(const std::string& version, const GpuSurvey& survey) {
  Finding finding{"NCCL", Verdict::pass, version, {}, {}, {}};
  if (!version.empty()) return finding;
  finding.detail = "not in this build: training runs on one GPU at most";
  if (survey.gpus.size() < 2) return finding;
  finding.verdict = Verdict::warn;
  finding.remedy =
      "install libnccl-dev, or the Python package nvidia-nccl-cu12, and build again: "
      "cmake says where it looks";
  return finding;
}

Finding judge_gpu(const Gpu& gpu, const GpuDiagnosis& diagnosis) {
  Finding finding{named(gpu, ""),
                  Verdict::pass,
                  fmt::format("{}, compute capability {}, {} multiprocessors, at {}: kernels run",
                              gpu.name, gpu.capability(), gpu.multiprocessors, gpu.pci),
                  {},
                  {},
                  {}};
  if (!diagnosis.usable()) {
    finding.verdict = Verdict::fail;
    finding.detail = diagnosis.message;
    finding.remedy = diagnosis.remedy;
  }
  return finding;
}

Finding judge_gpu_memory(const Gpu& gpu, const GpuMemory& memory) {
  constexpr double kLeastFraction = 0.5;
  const auto free = static_cast<double>(memory.free);
  const double least = kLeastFraction * static_cast<double>(memory.total);
  Finding finding{named(gpu, "memory"),
                  Verdict::pass,
                  fmt::format("{} free of {}", format_bytes(free),
                              format_bytes(static_cast<double>(memory.total))),
                  {},
                  free,
                  least};
  if (free < least) {
    finding.verdict = Verdict::warn;
    finding.remedy = "`nvidia-smi` names the programs that hold the rest; they also take its time";
  }
  return finding;
}

Finding judge_gpu_sharing(const Gpu& gpu) {
  Finding finding{named(gpu, "sharing"), Verdict::pass, "processes may share it", {}, {}, {}};
  if (gpu.exclusive) finding.detail = "one process at a time";
  if (gpu.prohibited) {
    finding.verdict = Verdict::fail;
    finding.detail = "its compute mode lets no process use it";
    finding.remedy = fmt::format("sudo nvidia-smi -i {} -c DEFAULT", gpu.pci);
  }
  return finding;
}

Finding judge_ecc(const Gpu& gpu) {
  Finding finding{named(gpu, "ECC"), Verdict::pass, "on", {}, {}, {}};
  if (!gpu.ecc) finding.detail = "the driver does not say";
  if (!gpu.ecc || *gpu.ecc) return finding;
  const bool consumer = gpu.name.find("GeForce") != std::string::npos;
  finding.detail =
      consumer ? "not in this model: bit errors go unseen" : "off: bit errors go unseen";
  if (!consumer) {
    finding.verdict = Verdict::warn;
    finding.remedy = fmt::format("sudo nvidia-smi -i {} -e 1, and restart the machine", gpu.pci);
  }
  return finding;
}

Finding judge_clocks(const Gpu& gpu, double measured_mhz) {
  constexpr double kLeastFraction = 0.7;
  Finding finding{named(gpu, "clocks"),
                  Verdict::pass,
                  fmt::format("at most {}, memory {}", gigahertz(gpu.clock_mhz),
                              gigahertz(gpu.memory_clock_mhz)),
                  {},
                  {},
                  {}};
  if (measured_mhz <= 0) return finding;
  finding.detail = fmt::format("{:.2f} GHz at light work, {}", measured_mhz / 1e3, finding.detail);
  finding.measured = measured_mhz;
  if (gpu.clock_mhz <= 0) return finding;
  finding.limit = kLeastFraction * gpu.clock_mhz;
  if (measured_mhz < *finding.limit) {
    finding.verdict = Verdict::warn;
    finding.remedy = fmt::format(
        "`nvidia-smi -i {0} -q -d PERFORMANCE,CLOCK` names what holds it back (heat, power, a "
        "setting); `sudo nvidia-smi -i {0} -rgc` undoes a setting",
        gpu.pci);
  }
  return finding;
}

std::vector<Finding> examine_gpu(const Gpu& gpu) {
  std::vector<Finding> findings = {judge_gpu_sharing(gpu)};
  const GpuDiagnosis diagnosis = gpu.prohibited ? GpuDiagnosis{} : probe_gpu(gpu.index);
  if (!gpu.prohibited) findings.insert(findings.begin(), judge_gpu(gpu, diagnosis));
  double measured_mhz = 0;
  if (!gpu.prohibited && diagnosis.usable()) {
    findings.push_back(judge_gpu_memory(gpu, gpu_memory(gpu.index)));
    if (!survey_gpus().emulated) measured_mhz = gpu_clock_mhz(gpu.index);
  }
  findings.push_back(judge_ecc(gpu));
  findings.push_back(judge_clocks(gpu, measured_mhz));
  return findings;
}

}  // namespace lockstep::cli
