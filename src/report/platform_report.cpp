// CPU and GPU side by side.
#include <fmt/format.h>

#include <algorithm>

#include "report/format.h"
#include "report/reports.h"
#include "report/table.h"

namespace lockstep {

namespace {

std::string times(const std::optional<double>& speedup) {
  return speedup ? fmt::format("{:.2f}", *speedup) : "-";
}

std::string seconds(const std::optional<double>& value) {
  return value ? format_seconds(*value) : "-";
}

bool ran(const RunResult& run) {
  return run.status == RunStatus::ok;
}

std::string speedup_table(const std::vector<RunResult>& runs) {
  const bool transfers =
      std::ranges::any_of(runs, [](const auto& r) { return !!r.transfer_seconds; });
  const bool captures =
      std::ranges::any_of(runs, [](const auto& r) { return !!r.capture_seconds; });
  Table table;
  table.add_column("times faster than", Align::left);
  for (const char* heading : {"one thread", "best CPU", "one GPU", "start-up"}) {
    table.add_column(heading);
  }
  if (captures) table.add_column("capture");
  if (transfers) table.add_column("transfer");
  for (const RunResult& run : runs) {
    if (!ran(run)) continue;
    std::vector<std::string> row = {run.name, times(run.speedups.serial),
                                    times(run.speedups.best_cpu), times(run.speedups.gpu),
                                    format_seconds(run.startup_seconds)};
    if (captures) row.push_back(seconds(run.capture_seconds));
    if (transfers) row.push_back(seconds(run.transfer_seconds));
    table.add_row(std::move(row));
  }
  return table.text();
}

// Which run is which baseline; a line for each global batch that has any.
std::string baseline_lines(const std::vector<RunResult>& runs) {
  std::vector<int64_t> batches;
  for (const RunResult& run : runs) {
    if (ran(run) && std::ranges::count(batches, run.global_batch) == 0) {
      batches.push_back(run.global_batch);
    }
  }
  const auto name = [](const RunResult* run) { return run ? run->name : "none"; };
  std::string text;
  for (const int64_t batch : batches) {
    const Baselines found = find_baselines(runs, batch);
    const std::string where =
        batches.size() > 1 ? fmt::format("Batch {}: ", format_integer(batch)) : std::string();
    text += fmt::format("{}one thread is {}, best CPU {}, one GPU {}.\n", where, name(found.serial),
                        name(found.best_cpu), name(found.gpu));
  }
  return text + "These are times of training; start-up and the columns after it come on top.\n";
}

std::string gpu_line(const Gpu& gpu, const Machine& machine, const GpuSurvey& survey) {
  const std::string version = machine.nvidia_driver.empty() ? "unknown" : machine.nvidia_driver;
  return fmt::format(
      "GPU {}: {}{}, {}, compute capability {},\n       driver {} (CUDA {}), built with CUDA {}\n",
      gpu.index, gpu.name, survey.emulated ? " (emulated: its times mean nothing)" : "",
      format_bytes(static_cast<double>(gpu.memory_bytes)), gpu.capability(), version, survey.driver,
      survey.runtime);
}

}  // namespace

std::string platform_report(const std::vector<RunResult>& runs, const Machine& machine,
                            const GpuSurvey& survey) {
  const auto on_gpu = [](const RunResult& run) { return ran(run) && run.on_gpu(); };
  if (std::ranges::none_of(runs, on_gpu)) return {};
  std::string text = fmt::format("\n{}\n{}", speedup_table(runs), baseline_lines(runs));
  text += fmt::format("\nCPU: {}, {} usable, {}\n", machine.cpu.empty() ? "unknown" : machine.cpu,
                      machine.cpus_usable, machine.simd);
  for (const Gpu& gpu : survey.gpus) text += gpu_line(gpu, machine, survey);
  return text;
}

}  // namespace lockstep
