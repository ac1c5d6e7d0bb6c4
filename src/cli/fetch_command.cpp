// lockstep data fetch.
#include <fmt/format.h>

#include "cli/job.h"
#include "lockstep/fetch.h"
#include "report/format.h"

namespace lockstep::cli {

namespace {

std::string progress_text(const FetchProgress& progress) {
  const auto bytes = static_cast<double>(progress.bytes);
  if (progress.total <= 0) return fmt::format("{}  {}", progress.file, format_bytes(bytes));
  const auto total = static_cast<double>(progress.total);
  return fmt::format("{}  {} of {}  {:.0f} %", progress.file, format_bytes(bytes),
                     format_bytes(total), 100.0 * bytes / total);
}

}  // namespace

int data_fetch_command(Session& session) {
  load_settings(session);
  std::string source;
  FetchOptions options;
  options.progress = [&](const FetchProgress& progress) {
    if (progress.source != source) session.console.note(fmt::format("from {}", progress.source));
    source = progress.source;
    session.console.progress(progress_text(progress));
    return true;
  };
  const FetchReport report = fetch_dataset(session.invocation.positional, options);
  session.console.clear_progress();
  session.document.more["fetch"] = {{"folder", report.folder},
                                    {"files", report.files},
                                    {"downloaded_bytes", report.downloaded_bytes}};
  const auto downloaded = static_cast<double>(report.downloaded_bytes);
  session.print(report.downloaded_bytes == 0
                    ? fmt::format("{}: complete already\n", report.folder)
                    : fmt::format("{}: {} files, {} downloaded\n", report.folder,
                                  report.files.size(), format_bytes(downloaded)));
  return 0;
}

}  // namespace lockstep::cli
