// What this machine offers to a training, and what is in its way.
#pragma once

#include <optional>
#include <string>
#include <vector>

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

}  // namespace lockstep::cli
