#include <fmt/format.h>

#include <array>
#include <chrono>
#include <exception>
#include <functional>
#include <new>
#include <string_view>
#include <thread>
#include <utility>

#include "cli/ranks.h"
#include "cli/session.h"
#include "cli/signals.h"
#include "comm/wait.h"

namespace lockstep::cli {

namespace {

constexpr int kHelpWidth = 100;

// Seconds from a rank's failure to the end of all: others that know already can write what they
// have to. A rank that heard of the failure leaves the end, and its exit code, to the one that
// failed.
constexpr double kOwnMoment = 0.3;
constexpr double kOthersMoment = 3.0;

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

void read_command_line(Session& session, int argc, const char* const* argv) {
  std::optional<Error> failure;
  try {
    session.invocation = parse_command_line(argc, argv);
  } catch (const Error& error) {
    failure = error;
  }
  if (session.invocation.version || session.invocation.help) return;
  join_ranks(session, failure);
}

int dispatch(Session& session, int argc, const char* const* argv) {
  if (argc > 1) session.document.command = argv[1];  // what an unparsable line was meant to be
  read_command_line(session, argc, argv);
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
  if (session.joined) session.ends_all_after = kOwnMoment;
  session.console.error(error);
  write_error_file(error);
  session.document.set_error(error);
  return exit_code(error.kind());
}

// Every rank knows: one of them says it.
int fail_together(Session& session, const AgreedFailure& failure) {
  session.document.set_error(failure.error);
  if (session.processes().rank() == failure.speaker) {
    session.console.error(failure.error);
    write_error_file(failure.error);
  }
  return exit_code(failure.error.kind());
}

// Another rank of this machine has failed, and will end this one: it has said why.
int fail_behind_another(Session& session) {
  session.ends_all_after = kOthersMoment;
  session.document.set_error(
      Error(ErrorKind::communication, "another rank failed", "its own message says why"));
  return exit_code(ErrorKind::communication);
}

// What `work` returns; whatever it throws becomes an exit code and the document's "error".
int guarded(Session& session, const std::function<int()>& work) {
  try {
    return work();
  } catch (const AgreedFailure& failure) {
    return fail_together(session, failure);
  } catch (const PeerAborted&) {
    return fail_behind_another(session);
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
  if (session.settings.json && session.speaks()) print_result(session.document.text());
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

// The other ranks wait for this one, somewhere: they are ended.
void end_all_ranks(Session& session, int code) {
  ignore_stop_signals();  // the launcher's, which ends the others: this rank has said its word
  std::this_thread::sleep_for(std::chrono::duration<double>(*session.ends_all_after));
  session.joined->abort(code);
}

int run_session(Session& session, int argc, const char* const* argv) {
  const int code = guarded(session, [&] { return dispatch(session, argc, argv); });
  if (!session.settings.json && !session.folder) return code;
  if (session.invocation.help || session.invocation.version) return code;
  const int delivery_code = deliver(session);
  return code != 0 ? code : delivery_code;
}

}  // namespace

int run(int argc, const char* const* argv) {
  ignore_file_size_signal();
  Session session;
  session.settings.json = asks_for_json(argc, argv);
  const int code = run_session(session, argc, argv);
  if (session.ends_all_after) end_all_ranks(session, code);
  // The first rank that ends with such a code makes the launcher signal the others, which end too.
  if (session.joined && code != 0) ignore_stop_signals();
  return code;
}

}  // namespace lockstep::cli
