#include <fmt/format.h>

#include "report/format.h"
#include "report/reports.h"

namespace lockstep {

namespace {

std::string evaluation_line(const char* part, const std::optional<Evaluation>& evaluation) {
  if (!evaluation) return {};
  return fmt::format("  {:<9} accuracy {:.4f}, loss {:.4f}\n", part, evaluation->accuracy,
                     evaluation->loss);
}

std::string heading(const RunResult& run) {
  std::string text = fmt::format("{}: {}", run.name, to_string(run.status));
  if (!run.reason.empty()) text += ", " + run.reason;
  return text + "\n";
}

}  // namespace

std::string phase_shares(const PhaseSeconds& time, double total) {
  std::string text;
  const auto add = [&](const char* name, const std::optional<double>& seconds) {
    if (!seconds || total <= 0.0) return;
    if (!text.empty()) text += ", ";
    text +=
        fmt::format("{} {} ({:.0f} %)", name, format_seconds(*seconds), 100.0 * *seconds / total);
  };
  add("compute", time.compute);
  add("exposed communication", time.exposed_communication);
  add("waiting", time.synchronization);
  add("data", time.data);
  add("update", time.update);
  return text;
}

std::string train_report(const RunResult& run) {
  std::string text = heading(run);
  text += evaluation_line("test", run.final_test);
  text += evaluation_line("training", run.final_train);
  if (run.steps == 0) return text;
  text +=
      fmt::format("  {:<9} {} training: {} samples/s, {} a step (99 %: {})\n", "time",
                  format_seconds(run.train_seconds), format_count(run.samples_per_second),
                  format_seconds(run.step_ms_median / 1e3), format_seconds(run.step_ms_p99 / 1e3));
  text += fmt::format("  {:<9} {}\n", "", phase_shares(run.time, run.train_seconds));
  if (run.communication.calls > 0) {
    text += fmt::format("  {:<9} {} collectives, {} an epoch; {} handed in, {} moved\n", "",
                        format_integer(run.communication.calls),
                        format_integer(run.communication.calls_per_epoch),
                        format_bytes(static_cast<double>(run.communication.bytes)),
                        format_bytes(static_cast<double>(run.communication.wire_bytes)));
  }
  if (run.time_to_target) {
    text +=
        fmt::format("  {:<9} reached after {}\n", "target", format_seconds(*run.time_to_target));
  }
  text += fmt::format("  {:<9} start-up {}, loading {}, evaluation {}\n", "apart",
                      format_seconds(run.startup_seconds), format_seconds(run.load_seconds),
                      format_seconds(run.eval_seconds));
  text += fmt::format("  {:<9} peak {}\n", "memory",
                      format_bytes(static_cast<double>(run.peak_memory_bytes)));
  text += fmt::format("  {:<9} {} parameters, sha256 {:.16}\n", "model",
                      format_integer(run.parameters), run.parameters_sha256);
  return text;
}

}  // namespace lockstep
