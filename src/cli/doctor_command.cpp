// lockstep doctor.
#include <fmt/format.h>

#include "cli/doctor.h"
#include "cli/job.h"
#include "report/table.h"

namespace lockstep::cli {

namespace {

Json json_of(const Finding& finding) {
  return {{"name", finding.name},
          {"verdict", to_string(finding.verdict)},
          {"detail", finding.detail},
          {"remedy", finding.remedy.empty() ? Json() : Json(finding.remedy)}};
}

Json check_of(const Finding& finding) {
  return {{"name", finding.name},
          {"passed", finding.verdict != Verdict::fail},
          {"measured", json_number(finding.measured)},
          {"limit", json_number(finding.limit)}};
}

std::string report(const std::vector<Finding>& findings) {
  Table table;
  for (int i = 0; i < 3; ++i) table.add_column("", Align::left);
  for (const Finding& finding : findings) {
    table.add_row({to_string(finding.verdict), finding.name, finding.detail});
    if (!finding.remedy.empty()) table.add_row({"", "", "-> " + finding.remedy});
  }
  return table.text();
}

}  // namespace

int doctor_command(Session& session) {
  load_settings(session);
  std::vector<Finding> findings = examine(describe_machine(), session.settings.config.out);
  if (ProcessGroup& ranks = session.processes(); ranks.size() > 1) {
    for (Finding& finding : examine_ranks(ranks)) findings.push_back(std::move(finding));
  }
  Json list = Json::array();
  bool failed = false;
  for (const Finding& finding : findings) {
    list.push_back(json_of(finding));
    session.document.checks.push_back(check_of(finding));
    failed |= finding.verdict == Verdict::fail;
  }
  session.document.more["doctor"] = std::move(list);
  session.print(report(findings));
  if (!failed) return 0;
  session.document.status = "failed";
  return exit_code(ErrorKind::runtime);
}

}  // namespace lockstep::cli
