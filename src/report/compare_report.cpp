#include <fmt/format.h>

#include <algorithm>

#include "report/format.h"
#include "report/reports.h"
#include "report/table.h"
#include "study/compare.h"

namespace lockstep {

namespace {

std::string why_not(const RunResult& run) {
  std::string status = to_string(run.status);
  std::ranges::replace(status, '_', ' ');
  return run.reason.empty() ? status : fmt::format("{}: {}", status, run.reason);
}

std::string optional_number(const std::optional<double>& value) {
  return value ? fmt::format("{:.2f}", *value) : "-";
}

std::string accuracy_of(const RunResult& run) {
  const auto& evaluation = run.final_test ? run.final_test : run.final_train;
  return evaluation ? format_fraction(evaluation->accuracy) : "-";
}

// Whether the job itself changes from row to row, as it does under --per-worker-batch.
bool batches_differ(const std::vector<RunResult>& runs) {
  const RunResult* first = nullptr;
  for (const RunResult& run : runs) {
    if (run.status != RunStatus::ok) continue;
    if (first != nullptr && run.global_batch != first->global_batch) return true;
    first = &run;
  }
  return false;
}

std::string result_table(const std::vector<RunResult>& runs) {
  const bool tested = std::ranges::any_of(runs, [](const auto& r) { return !!r.final_test; });
  const bool weak = batches_differ(runs);
  Table table;
  table.add_column("mode", Align::left);
  if (weak) table.add_column("batch");
  table.add_column(tested ? "accuracy" : "train accuracy");
  for (const char* heading : {"time", "samples/s", "speedup", "efficiency", "Karp-Flatt"}) {
    table.add_column(heading);
  }
  for (const RunResult& run : runs) {
    if (run.status != RunStatus::ok) {
      table.add_note(run.name, why_not(run));
      continue;
    }
    std::vector<std::string> row = {run.name};
    if (weak) row.push_back(format_integer(run.global_batch));
    row.insert(row.end(), {accuracy_of(run), format_seconds(run.train_seconds),
                           format_count(run.samples_per_second), optional_number(run.speedup),
                           optional_number(run.efficiency), optional_number(run.karp_flatt)});
    table.add_row(std::move(row));
  }
  std::string text = table.text();
  if (weak) {
    text +=
        "\nWeak scaling: each worker has a batch of its own size, so the job changes with the\n"
        "number of workers; speedup is against a serial run of the same global batch.\n";
  }
  return text;
}

// Seconds of a phase, "fused" where it has none of its own.
std::string phase(const RunResult& run, const char* name, const std::optional<double>& seconds) {
  if (seconds) return format_seconds(*seconds);
  return std::ranges::count(run.fused, name) > 0 ? "fused" : "-";
}

std::string time_table(const std::vector<RunResult>& runs) {
  Table table;
  table.add_column("where it went", Align::left);
  for (const char* heading :
       {"compute", "comm.", "exposed", "waiting", "data", "update", "start-up", "eval."}) {
    table.add_column(heading);
  }
  bool any = false;
  for (const RunResult& run : runs) {
    if (run.status != RunStatus::ok) continue;
    any = true;
    table.add_row({run.name, phase(run, "compute", run.time.compute),
                   phase(run, "communication", run.time.communication),
                   phase(run, "exposed_communication", run.time.exposed_communication),
                   phase(run, "synchronization", run.time.synchronization),
                   phase(run, "data", run.time.data), phase(run, "update", run.time.update),
                   format_seconds(run.startup_seconds), format_seconds(run.eval_seconds)});
  }
  return any ? fmt::format("\n{}", table.text()) : "";
}

const RunResult* find(const std::vector<RunResult>& runs, const std::string& name) {
  const auto found = std::ranges::find(runs, name, &RunResult::name);
  return found == runs.end() ? nullptr : &*found;
}

// "sync:2 ran 1.93 +- 0.04 times faster than serial", as hyperfine ends.
std::string closing_line(const RunResult& run, const RunResult& baseline) {
  const bool faster = *run.speedup >= 1.0;
  const double factor = faster ? *run.speedup : 1.0 / *run.speedup;
  const double deviation = speedup_deviation(run, baseline) / *run.speedup * factor;
  std::string text = fmt::format("{} ran {:.2f} ", run.name, factor);
  if (deviation > 0.0) text += fmt::format("+- {:.2f} ", deviation);
  return text + fmt::format("times {} than {}\n", faster ? "faster" : "slower", baseline.name);
}

std::string closing_lines(const std::vector<RunResult>& runs) {
  std::vector<const RunResult*> compared;
  for (const RunResult& run : runs) {
    if (run.speedup && *run.baseline != run.name) compared.push_back(&run);
  }
  std::ranges::stable_sort(compared, std::greater{},
                           [](const RunResult* r) { return *r->speedup; });
  std::string text = compared.empty() ? "" : "\n";
  for (const RunResult* run : compared) text += closing_line(*run, *find(runs, *run->baseline));
  return text;
}

std::string published_value(const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_boolean()) return value.get<bool>() ? "yes" : "no";
  if (!value.is_array()) return json_text(value);
  std::string text;
  for (const Json& entry : value) {
    if (!text.empty()) text += ", ";
    text += published_value(entry);
  }
  return text;
}

// The study's figures and ours for the same mode: training alone, and with the start of workers.
std::string published_runs(const Json& rows, const std::vector<RunResult>& runs) {
  Table table;
  table.add_column("published", Align::left);
  for (const char* heading : {"time", "speedup"}) table.add_column(heading);
  table.add_column("covers", Align::left);
  table.add_column("log");
  for (const char* heading : {"ours", "with start-up", "speedup"}) table.add_column(heading);
  for (const Json& row : rows) {
    const std::string mode = row.value("mode", "");
    const RunResult* ours = find(runs, mode);
    const bool ran = ours != nullptr && ours->status == RunStatus::ok;
    const double with_start = ran ? ours->train_seconds + ours->startup_seconds : 0.0;
    table.add_row(
        {mode, row.contains("seconds") ? format_seconds(row["seconds"]) : "-",
         row.contains("speedup") ? fmt::format("{:.2f}", row["speedup"].get<double>()) : "-",
         row.value("covers", "-"), row.value("log", false) ? "yes" : "no",
         ran ? format_seconds(ours->train_seconds) : "-", ran ? format_seconds(with_start) : "-",
         ran ? optional_number(ours->speedup) : "-"});
  }
  return table.text();
}

std::string published_report(const Json& published, const std::vector<RunResult>& runs) {
  if (!published.is_object()) return {};
  std::string text = "\nThe published study\n";
  for (const auto& [key, value] : published.items()) {
    if (key != "runs") text += fmt::format("  {}: {}\n", key, published_value(value));
  }
  if (!published.contains("runs")) return text;
  return fmt::format("{}\n{}", text, published_runs(published["runs"], runs));
}

}  // namespace

std::string compare_report(const std::vector<RunResult>& runs, const Json& published,
                           const std::string& platforms) {
  return result_table(runs) + time_table(runs) + published_report(published, runs) + platforms +
         closing_lines(runs);
}

}  // namespace lockstep
