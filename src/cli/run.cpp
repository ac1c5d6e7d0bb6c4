#include <fmt/format.h>

#include <array>
#include <exception>
#include <functional>
#include <new>
#include <string_view>
#include <utility>

#include "cli/session.h"
#include "cli/signals.h"

namespace lockstep::cli {

namespace {

constexpr int kHelpWidth = 100;

using Command = int (*)(Session&);
constexpr std::pair<std::string_view, Command> kCommands[] = {
    {"train", train_command},
    {"compare", compare_command},
    {"eval", eval_command},
    {"predict", predict_command},
    {"doctor", doctor_command},
    {"data info", data_info_command},
    {"data fetch", data_fetch_command},
    {"experiments", experiments_command},
    {"experiments show", experiments_show_command},
};

Command command_named(std::string_view name) {
  for (const auto& [known, command] : kCommands) {
    if (known == name) return command;
  }
  throw Error(ErrorKind::runtime, fmt::format("command '{}' is in no table", name));
}

// What --json promises of a process that a signal ends before it has a document.
std::string interrupted_document(const Session& session) {
  if (!session.settings.json) return {};
  Document document = session.document;
  document.status = "interrupted";
  return document.text();
}

int dispatch(Session& session, int argc, const char* const* argv) {
  if (argc > 1) session.document.command = argv[1];  // what an unparsable line was meant to be
  session.invocation = parse_command_line(argc, argv);
  const CommandSpec* command = session.invocation.command;
  if (session.invocation.version) {
    print_result(version_text());
    return 0;
  }
  if (session.invocation.help) {
    print_result(help_text(command, std::min(terminal_width(kHelpWidth), kHelpWidth)));
    return 0;
  }
  session.document.command = command->name;
  watch_signals(interrupted_document(session));
  return command_named(command->name)(session);
}

int fail(Session& session, const Error& error) {
  session.console.error(error);
  session.document.set_error(error);
  return exit_code(error.kind());
}

// What `work` returns; whatever it throws becomes an exit code and the document's "error".
int guarded(Session& session, const std::function<int()>& work) {
  try {
    return work();
  } catch (const Error& error) {
    return fail(session, error);
  } catch (const std::bad_alloc&) {
    return fail(session, Error(ErrorKind::runtime, "out of memory",
                               "use a smaller batch, fewer workers or fewer samples"));
  } catch (const std::exception& error) {
    return fail(session, Error(ErrorKind::runtime, error.what()));
  }
}

int write_result(Session& session) {
  session.document.machine = json_of(describe_machine());
  if (session.folder) session.folder->write_result(session.document);
  return 0;
}

int print_document(const Session& session) {
  if (session.settings.json) print_result(session.document.text());
  return 0;
}

// The document goes to --out's result.json and, with --json, to stdout: there also when the file
// cannot be written.
int deliver(Session& session) {
  const int code = guarded(session, [&] { return write_result(session); });
  disarm_document();
  const int print_code = guarded(session, [&] { return print_document(session); });
  return code != 0 ? code : print_code;
}

}  // namespace

int run(int argc, const char* const* argv) {
  ignore_file_size_signal();
  Session session;
  session.settings.json = asks_for_json(argc, argv);
  const int code = guarded(session, [&] { return dispatch(session, argc, argv); });
  if (!session.settings.json && !session.folder) return code;
  if (session.invocation.help || session.invocation.version) return code;
  const int delivery_code = deliver(session);
  return code != 0 ? code : delivery_code;
}

}  // namespace lockstep::cli
