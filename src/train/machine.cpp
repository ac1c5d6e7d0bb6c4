#include "train/machine.h"

#include <fmt/format.h>
#include <hwy/targets.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <optional>
#include <sstream>
#include <string_view>

#include "backend/gemm.h"
#include "train/processors.h"

namespace lockstep {

namespace {

std::string trimmed(const std::string& text) {
  const size_t begin = text.find_first_not_of(" \t\"\n");
  if (begin == std::string::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t\"\n") - begin + 1);
}

// The value of the first line "NAME <separator> value" of a file of such lines.
std::string value_in_file(const char* path, std::string_view name, char separator) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    const size_t at = line.find(separator);
    if (at == std::string::npos || trimmed(line.substr(0, at)) != name) continue;
    return trimmed(line.substr(at + 1));
  }
  return {};
}

int64_t kilobytes_in_meminfo(std::string_view name) {
  int64_t value = 0;
  std::istringstream(value_in_file("/proc/meminfo", name, ':')) >> value;
  return value * 1024;
}

// This process's cgroup folder: version 2 only, where every controller shares one tree.
std::string cgroup_folder() {
  std::ifstream file("/proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("0::")) return "/sys/fs/cgroup" + line.substr(3);
  }
  return {};
}

// Calls visit(folder) for the cgroup and each of its ancestors: the tightest limit holds.
template <class Visit>
void for_each_cgroup(Visit visit) {
  constexpr std::string_view kRoot = "/sys/fs/cgroup";
  std::string folder = cgroup_folder();
  while (folder.size() >= kRoot.size()) {
    visit(folder);
    folder = folder.substr(0, folder.find_last_of('/'));
  }
}

std::optional<double> cpu_quota() {
  std::optional<double> tightest;
  for_each_cgroup([&](const std::string& folder) {
    std::ifstream file(folder + "/cpu.max");
    double quota = 0.0, period = 0.0;
    if (file >> quota >> period && period > 0.0) {
      tightest = std::min(quota / period, tightest.value_or(quota / period));
    }
  });
  return tightest;
}

int64_t memory_limit(int64_t installed) {
  int64_t tightest = installed;
  for_each_cgroup([&](const std::string& folder) {
    std::ifstream file(folder + "/memory.max");
    int64_t limit = 0;
    if (file >> limit && limit > 0) tightest = std::min(tightest, limit);
  });
  return tightest;
}

std::string simd_target() {
  const int64_t targets = hwy::SupportedTargets() & HWY_TARGETS;
  const std::string name = hwy::TargetName(targets & -targets);  // the lowest bit is the best
  return name.starts_with("AVX3") ? fmt::format("AVX-512 ({})", name) : name;
}

}  // namespace

int usable_cpus() {
  int cpus = static_cast<int>(usable_processors().size());
  if (const auto quota = cpu_quota()) {
    cpus = std::min(cpus, static_cast<int>(std::ceil(*quota)));
  }
  return std::max(cpus, 1);
}

Machine describe_machine() {
  Machine machine;
  utsname name{};
  if (uname(&name) == 0) {
    machine.host = name.nodename;
    machine.kernel = fmt::format("{} {} {}", name.sysname, name.release, name.machine);
  }
  machine.os = value_in_file("/etc/os-release", "PRETTY_NAME", '=');
  machine.cpu = value_in_file("/proc/cpuinfo", "model name", ':');
  machine.cpus_online = static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN));
  machine.cpus_usable = usable_cpus();
  machine.cpu_quota = cpu_quota().value_or(0.0);
  machine.memory_bytes = memory_limit(kilobytes_in_meminfo("MemTotal"));
  machine.memory_available = std::min(kilobytes_in_meminfo("MemAvailable"), machine.memory_bytes);
  machine.simd = simd_target();
  machine.gemm = gemm_library();
  machine.bf16 = bf16_instructions();
  std::ifstream("/sys/module/nvidia/version") >> machine.nvidia_driver;
  return machine;
}

}  // namespace lockstep
