// lockstep data info, lockstep data fetch.
#include <fmt/format.h>

#include "cli/job.h"
#include "lockstep/data.h"
#include "report/format.h"
#include "report/table.h"

namespace lockstep::cli {

namespace {

// The most classes that a table lists; more are summed up.
constexpr size_t kMostClassesShown = 40;

std::string balance_table(const DataInfo& info) {
  Table table;
  table.add_column("class", Align::left);
  table.add_column("training");
  table.add_column("share");
  if (info.test_rows) table.add_column("test");
  const size_t shown = std::min(info.class_names.size(), kMostClassesShown);
  for (size_t c = 0; c < shown; ++c) {
    const double share = static_cast<double>(info.train_counts[c]) /
                         static_cast<double>(std::max<int64_t>(info.train_rows, 1));
    std::vector<std::string> row = {info.class_names[c], format_integer(info.train_counts[c]),
                                    fmt::format("{:.1f} %", 100.0 * share)};
    if (info.test_rows) row.push_back(format_integer(info.test_counts[c]));
    table.add_row(std::move(row));
  }
  std::string text = table.text();
  if (shown < info.class_names.size()) {
    text += fmt::format("and {} more classes\n", info.class_names.size() - shown);
  }
  return text;
}

std::string report(const DataInfo& info) {
  Table table;
  table.add_column("", Align::left);
  table.add_column("", Align::left);
  table.add_row({"data", info.name});
  table.add_row({"training rows", format_integer(info.train_rows)});
  table.add_row({"test rows", info.test_rows ? format_integer(*info.test_rows) : "none"});
  std::string features = fmt::format("{} ({})", format_integer(info.features), info.feature_type);
  if (info.image) {
    features += fmt::format(", images {} x {} x {}", info.image->channels, info.image->height,
                            info.image->width);
  }
  table.add_row({"features", features});
  table.add_row({"classes", format_integer(static_cast<int64_t>(info.class_names.size()))});
  table.add_row({"normalization", info.normalization});
  table.add_row({"memory", format_bytes(static_cast<double>(info.memory_bytes))});
  if (info.mapped_bytes > 0) {
    table.add_row({"mapped", format_bytes(static_cast<double>(info.mapped_bytes))});
  }
  table.add_row({"loaded in", format_seconds(info.load_seconds)});
  table.add_row({"sha256", info.sha256});
  std::string text = table.text();
  if (!info.label_note.empty()) text += info.label_note + "\n";
  if (info.class_names.empty()) return text;
  return fmt::format("{}\n{}", text, balance_table(info));
}

Json json_of(const DataInfo& info) {
  return {{"train_counts", info.train_counts},
          {"test_counts", info.test_rows ? Json(info.test_counts) : Json()},
          {"normalization", info.normalization},
          {"label_note", info.label_note},
          {"memory_bytes", info.memory_bytes},
          {"mapped_bytes", info.mapped_bytes},
          {"load_seconds", json_number(info.load_seconds)}};
}

}  // namespace

int data_info_command(Session& session) {
  load_settings(session);
  DataConfig config = session.settings.config.data;
  config.data = session.invocation.positional;
  const Dataset dataset = load_dataset(config, session.settings.config.seed);
  const DataInfo info = describe(dataset);
  session.document.data = lockstep::json_of(dataset);
  session.document.more["info"] = json_of(info);
  session.print(report(info));
  return 0;
}

}  // namespace lockstep::cli
