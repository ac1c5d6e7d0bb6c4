#include "cli/doctor.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <system_error>
#include <utility>

#include "comm/device_group.h"
#include "report/format.h"

namespace lockstep::cli {

namespace fs = std::filesystem;

namespace {

std::string first_line(const char* path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

// The nearest ancestor of `path` that exists: where a new folder would be made.
fs::path existing_ancestor(fs::path path) {
  std::error_code ignored;
  while (!path.empty() && !fs::exists(path, ignored)) path = path.parent_path();
  return path.empty() ? fs::path(".") : path;
}

Finding judge_gemm(const Machine& machine) {
  Finding finding{"matrix products", Verdict::pass, machine.gemm, {}, {}, {}};
  if (!machine.gemm.starts_with("oneDNN")) {
    finding.verdict = Verdict::warn;
    finding.remedy = "build with LOCKSTEP_GEMM=ONEDNN: plain loops are for sanitizers";
  }
  return finding;
}

}  // namespace

const char* to_string(Verdict verdict) {
  switch (verdict) {
    case Verdict::pass: return "PASS";
    case Verdict::warn: return "WARN";
    case Verdict::fail: return "FAIL";
  }
  return "FAIL";
}

Finding judge_cpus(const Machine& machine) {
  Finding finding{"CPUs",
                  Verdict::pass,
                  fmt::format("{} of {} usable: {}", machine.cpus_usable, machine.cpus_online,
                              machine.cpu.empty() ? "model unknown" : machine.cpu),
                  {},
                  static_cast<double>(machine.cpus_usable),
                  2.0};
  if (machine.cpus_usable < 2) {
    finding.verdict = Verdict::warn;
    finding.remedy =
        "parallel modes need two CPUs to gain anything: widen the affinity mask "
        "(taskset) or the container's CPU limit";
  } else if (machine.cpu_quota > 0.0 && machine.cpu_quota < machine.cpus_usable) {
    finding.verdict = Verdict::warn;
    finding.detail += fmt::format(", limited to {:.2g} by a cgroup", machine.cpu_quota);
    finding.remedy = "a quota of part of a CPU stops workers in mid-step: give whole CPUs";
  }
  return finding;
}

Finding judge_simd(const Machine& machine) {
  Finding finding{"SIMD", Verdict::pass, machine.simd, {}, {}, {}};
  const bool narrow = machine.simd.starts_with("SSE") || machine.simd.starts_with("SSSE") ||
                      machine.simd == "EMU128" || machine.simd == "SCALAR";
  if (narrow) {
    finding.verdict = Verdict::warn;
    finding.remedy =
        "a CPU with AVX2 is several times faster; in a virtual machine pass the "
        "host's CPU model on";
  }
  return finding;
}

Finding judge_bf16(const Machine& machine) {
  Finding finding{"bf16", Verdict::pass, machine.bf16, {}, {}, {}};
  if (machine.bf16.empty()) finding.detail = "no instructions for it: --precision bf16 is refused";
  if (machine.bf16 == "AVX512_BF16") finding.detail += ": without AMX fp32 may be faster";
  return finding;
}

Finding judge_memory(const Machine& machine) {
  constexpr double kLeastBytes = 1e9;
  const auto available = static_cast<double>(machine.memory_available);
  Finding finding{"memory",
                  Verdict::pass,
                  fmt::format("{} available of {}", format_bytes(available),
                              format_bytes(static_cast<double>(machine.memory_bytes))),
                  {},
                  available,
                  kLeastBytes};
  if (available < kLeastBytes) {
    finding.verdict = Verdict::warn;
    finding.remedy = "close other programs, or train with --samples N";
  }
  return finding;
}

Finding judge_load(double load, int cpus) {
  const double limit = 0.5 * cpus;
  Finding finding{"load", Verdict::pass, fmt::format("{:.2f} on {} CPUs", load, cpus),
                  {},     load,          limit};
  if (load > limit) {
    finding.verdict = Verdict::warn;
    finding.remedy = "other programs use the CPUs: times measured now say little";
  }
  return finding;
}

Finding judge_governor(const std::string& governor) {
  Finding finding{"CPU governor", Verdict::pass, governor, {}, {}, {}};
  if (governor.empty()) finding.detail = "not to be seen here";
  if (governor == "powersave") {
    finding.verdict = Verdict::warn;
    finding.remedy = "for steady times: sudo cpupower frequency-set -g performance";
  }
  return finding;
}

Finding judge_huge_pages(const std::string& setting) {
  const bool off = setting.find("[never]") != std::string::npos;
  Finding finding{"huge pages", Verdict::pass, setting, {}, {}, {}};
  if (setting.empty()) finding.detail = "not to be seen here";
  if (off) {
    finding.verdict = Verdict::warn;
    finding.remedy = "echo madvise | sudo tee /sys/kernel/mm/transparent_hugepage/enabled";
  }
  return finding;
}

Finding judge_disk(const std::string& folder) {
  constexpr double kLeastBytes = 100e6;
  const fs::path place = existing_ancestor(folder.empty() ? "." : folder);
  Finding finding{"disk", Verdict::pass, {}, {}, {}, kLeastBytes};
  if (access(place.c_str(), W_OK) != 0) {
    finding.verdict = Verdict::fail;
    finding.detail = fmt::format("{}: {}", place.string(), std::generic_category().message(errno));
    finding.remedy = "give --out a folder that can be written to";
    return finding;
  }
  std::error_code error;
  const auto space = fs::space(place, error);
  finding.measured = error ? 0.0 : static_cast<double>(space.available);
  finding.detail = fmt::format("{} free at {}", format_bytes(*finding.measured),
                               fs::absolute(place, error).lexically_normal().string());
  if (*finding.measured < kLeastBytes) {
    finding.verdict = Verdict::warn;
    finding.remedy = "make room, or give --out a folder on another disk";
  }
  return finding;
}

std::vector<Finding> examine(const Machine& machine, const std::string& out) {
  double load = 0.0;
  if (getloadavg(&load, 1) != 1) load = 0.0;
  std::vector<Finding> findings = {
      judge_cpus(machine),
      judge_simd(machine),
      judge_gemm(machine),
      judge_bf16(machine),
      judge_memory(machine),
      judge_huge_pages(first_line("/sys/kernel/mm/transparent_hugepage/enabled")),
      judge_governor(first_line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")),
      judge_load(load, machine.cpus_usable),
      judge_disk(out),
      judge_cuda(survey_gpus()),
  };
  if (survey_gpus().built) findings.push_back(judge_nccl(nccl_version(), survey_gpus()));
  for (const Gpu& gpu : survey_gpus().gpus) {
    for (Finding& finding : examine_gpu(gpu)) findings.push_back(std::move(finding));
  }
  return findings;
}

}  // namespace lockstep::cli
