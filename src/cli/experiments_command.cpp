// lockstep experiments, lockstep experiments show.
#include <fmt/format.h>

#include "cli/experiments.h"
#include "cli/session.h"
#include "cli/toml_file.h"
#include "lockstep/error.h"
#include "report/table.h"
#include "train/nearest.h"

namespace lockstep::cli {

int experiments_command(Session& session) {
  session.settings.quiet = false;
  Table table;
  table.add_column("", Align::left);
  table.add_column("", Align::left);
  Json list = Json::array();
  for (const Experiment& experiment : experiments()) {
    Settings settings;
    read_toml(experiment.text, std::string(experiment.name), settings);
    table.add_row({std::string(experiment.name), settings.title});
    list.push_back({{"name", experiment.name}, {"title", settings.title}});
  }
  session.document.more["experiments"] = std::move(list);
  session.print(table.text());
  session.console.note(
      "\n`lockstep compare NAME` runs one, `lockstep experiments show NAME` prints it");
  return 0;
}

int experiments_show_command(Session& session) {
  const std::string& name = session.invocation.positional;
  std::vector<std::string> names;
  for (const Experiment& experiment : experiments()) {
    if (experiment.name == name) {
      session.document.more["experiment"] = {{"name", name}, {"toml", experiment.text}};
      session.print(std::string(experiment.text));
      return 0;
    }
    names.emplace_back(experiment.name);
  }
  throw Error(ErrorKind::usage, fmt::format("no experiment is named '{}'", name),
              suggestion(name, names));
}

}  // namespace lockstep::cli
