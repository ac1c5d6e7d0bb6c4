#include "cli/ranks.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <map>
#include <sstream>

#include "cli/sources.h"
#include "data/environment.h"

namespace lockstep::cli {

namespace {

// Between the facts of a text: control characters, which no value holds.
constexpr char kFact = '\x1e';
constexpr char kValue = '\x1f';

std::string text_of(const Facts& facts) {
  std::string text;
  for (const auto& [name, value] : facts) text += name + kValue + value + kFact;
  return text;
}

Facts facts_of(const std::string& text) {
  Facts facts;
  for (size_t at = 0; at < text.size();) {
    const size_t end = text.find(kFact, at);
    const size_t value = text.find(kValue, at);
    facts.emplace_back(text.substr(at, value - at), text.substr(value + 1, end - value - 1));
    at = end + 1;
  }
  return facts;
}

// What must be known before the settings are: the flags' or the variables' values, where they can
// be read; what cannot is refused later.
JoinOptions join_options(const Invocation& invocation) {
  JoinOptions options;
  for (const GivenValues& values :
       {environment_values(invocation.command->options), invocation.flags}) {
    for (const GivenValue& value : values) {
      if (value.key == "device") options.device = value.text;
      constexpr double kMost = 1e6;  // far beyond what is refused later
      const double number = std::min(std::strtod(value.text.c_str(), nullptr), kMost);
      if (value.key == "init-timeout" && number > 0.0) options.timeout = number;
      if (value.key == "workers" && number >= 1.0) options.workers = static_cast<int>(number);
    }
  }
  return options;
}

}  // namespace

void join_ranks(Session& session, const std::optional<Error>& failure) {
  const Launch launch = find_launch();
  if (launch.size == 1) {
    if (failure) throw Error(*failure);
    return;
  }
  const CommandSpec* command = session.invocation.command;
  session.joined =
      join_process_group(launch, failure ? JoinOptions() : join_options(session.invocation));
  ProcessGroup& ranks = *session.joined;
  if (ranks.rank() > 0) {
    session.console.set_rank(
        fmt::format("[rank {} {}]", ranks.rank(), ranks.place(ranks.rank()).host));
  }
  if (failure || command->ranks) return agree_on(ranks, failure);
  agree_on(ranks, Error(ErrorKind::usage,
                        fmt::format("`lockstep {}` is the work of one process, and {} started {}",
                                    command->name, launch.launcher, launch.size),
                        fmt::format("run it without {}", launch.launcher)));
}

void write_error_file(const Error& error) {
  const std::string path = environment_variable("TORCHELASTIC_ERROR_FILE");
  if (path.empty()) return;
  const std::string text =
      error.remedy().empty() ? error.what() : fmt::format("{} ({})", error.what(), error.remedy());
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(now).count();
  const Json document = {
      {"message", {{"message", text}, {"extraInfo", {{"timestamp", std::to_string(seconds)}}}}}};
  try {
    write_file(path, json_text(document));
  } catch (const Error&) {
    return;  // the error itself has been told
  }
}

void require_own_gpus(ProcessGroup& processes, const std::vector<std::string>& own) {
  // How NCCL lets ranks share one, to try it where there are too few.
  const bool shared = !environment_variable("NCCL_HOSTID").empty() ||
                      environment_variable("NCCL_MULTI_RANK_GPU_ENABLE") == "1";
  std::string text;
  for (const std::string& gpu : own) text += gpu + kFact;
  const std::vector<std::string> all = processes.all_gather_text(shared ? std::string() : text);
  std::map<std::string, int> owners;
  for (int rank = 0; rank < processes.size(); ++rank) {
    std::istringstream gpus(all[rank]);
    for (std::string gpu; std::getline(gpus, gpu, kFact);) {
      const auto [owner, fresh] = owners.try_emplace(gpu, rank);
      if (fresh) continue;
      throw AgreedFailure{
          Error(ErrorKind::device,
                fmt::format("{} and {} both take {}", processes.describe(owner->second),
                            processes.describe(rank), gpu),
                "start no more ranks on a machine than it has GPUs, and let each see all of them "
                "or its own alone (CUDA_VISIBLE_DEVICES, srun --gpus-per-task=1)"),
          0};
    }
  }
}

std::string first_difference(const Facts& ours, const Facts& theirs) {
  for (const auto& [name, value] : ours) {
    const auto same_name = [&](const auto& fact) { return fact.first == name; };
    const auto found = std::find_if(theirs.begin(), theirs.end(), same_name);
    if (found == theirs.end()) return fmt::format("has no {}, rank 0 has {}", name, value);
    if (found->second != value) {
      return fmt::format("has {} {}, rank 0 has {}", name, found->second, value);
    }
  }
  return {};
}

void require_equal_ranks(ProcessGroup& processes, const Facts& facts) {
  const std::vector<std::string> texts = processes.all_gather_text(text_of(facts));
  const Facts first = facts_of(texts[0]);
  for (int rank = 1; rank < processes.size(); ++rank) {
    const std::string difference = first_difference(first, facts_of(texts[rank]));
    if (difference.empty()) continue;
    throw AgreedFailure{
        Error(ErrorKind::usage,
              fmt::format("the ranks disagree: {} {}", processes.describe(rank), difference),
              "start all ranks with the same program, options, LOCKSTEP_* variables and data"),
        0};
  }
}

}  // namespace lockstep::cli
