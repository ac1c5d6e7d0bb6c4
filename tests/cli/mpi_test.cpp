// Ranks that mpirun starts: the contracts of threads hold between processes too, by shared memory
// and by messages; a rank that is lost ends the job; what cannot work is refused by one voice.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <map>
#include <random>
#include <set>
#include <thread>

#include "cli/launchers.h"
#include "train/trace_checks.h"

namespace lockstep::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr const char* kTransports[] = {"shared", "messages"};

ProcessResult run_on_ranks(int ranks, const Words& arguments) {
  const TemporaryFolder folder;
  Command command(on_ranks(ranks, arguments), folder.file(""), kMpiEnvironment);
  return command.wait();
}

const Words kShort = {"train",    "--json", "--quiet",      "--epochs", "2",
                      "--hidden", "24,12",  "--batch-size", "50",       "--samples",
                      "333",      "--lr",   "0.1"};

int count(const std::string& text, const std::string& what) {
  int found = 0;
  for (size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++found;
  return found;
}

TEST(Mpi, deterministic_sync_has_the_bits_of_serial_accumulate) {
  const std::vector<Words> optimizers = {{"--momentum", "0.9", "--nesterov"},
                                         {"--optimizer", "adam", "--dropout", "0.2"}};
  for (const int ranks : {2, 3}) {
    for (const Words& optimizer : optimizers) {
      const Words job = kShort + optimizer + Words{"--deterministic"};
      const std::string serial = hash_of(
          run_program(job + Words{"--strategy", "serial", "--accumulate", std::to_string(ranks)}));
      for (const Words& how : std::vector<Words>{{"--mpi-transport", "shared"},
                                                 {"--update", "replicas", "--bucket-mb", "0.002"},
                                                 {"--mpi-transport", "messages"},
                                                 {"--mpi-transport", "messages", "--bucket-mb", "0",
                                                  "--allreduce", "central", "--overlap", "off"}}) {
        EXPECT_EQ(hash_of(run_on_ranks(ranks, job + how)), serial)
            << ranks << " ranks " << ::testing::PrintToString(how);
      }
    }
  }
}

TEST(Mpi, every_all_reduce_trains_alike) {
  const nlohmann::json serial = run_of(run_program(kShort + Words{"--strategy", "serial"}));
  for (const char* transport : kTransports) {
    for (const char* allreduce : {"auto", "ring", "direct", "central"}) {
      const nlohmann::json run = run_of(
          run_on_ranks(3, kShort + Words{"--mpi-transport", transport, "--update", "replicas",
                                         "--allreduce", allreduce, "--bucket-mb", "0.001"}));
      EXPECT_NEAR(run["final"]["train_loss"], serial["final"]["train_loss"], 1e-4)
          << transport << ' ' << allreduce;
    }
  }
}

// Bytes that a rank sends for each that it hands in, the mean of three ranks.
TEST(Mpi, bytes_on_the_wire_are_those_of_the_algorithm) {
  for (const char* allreduce : {"ring", "direct", "central"}) {
    const nlohmann::json run = run_of(
        run_on_ranks(3, kShort + Words{"--mpi-transport", "messages", "--allreduce", allreduce}));
    const nlohmann::json& communication = run["communication"];
    EXPECT_NEAR(communication["wire_bytes"].get<double>() / communication["bytes"].get<double>(),
                4.0 / 3.0, 0.01)
        << allreduce;
  }
}

TEST(Mpi, local_sgd_has_the_bits_of_threads) {
  for (const char* state : {"average", "private"}) {
    const Words job = kShort + Words{"--strategy", "local-sgd", "--sync-every", "3",
                                     "--momentum", "0.9",       "--sync-state", state};
    const std::string threads = hash_of(run_program(job + Words{"--workers", "3"}));
    for (const char* transport : kTransports) {
      const Words how = {"--mpi-transport", transport, "--allreduce", "direct"};
      EXPECT_EQ(hash_of(run_on_ranks(3, job + how)), threads) << state << ' ' << transport;
    }
  }
}

// Three blocks of test data, dealt to the ranks in turn.
TEST(Mpi, evaluations_are_those_of_one_process) {
  const Words job = {"train",           "--json",
                     "--quiet",         "--deterministic",
                     "--epochs",        "2",
                     "--hidden",        "8",
                     "--data",          "synthetic:n=3000,d=6,classes=3",
                     "--test-fraction", "0.5"};
  const nlohmann::json serial =
      run_of(run_program(job + Words{"--strategy", "serial", "--accumulate", "2"}));
  const nlohmann::json ranks = run_of(run_on_ranks(2, job));
  EXPECT_EQ(ranks["final"], serial["final"]);
  for (int epoch = 0; epoch < 2; ++epoch) {
    for (const char* what : {"test_loss", "test_accuracy", "train_accuracy"}) {
      EXPECT_EQ(ranks["epochs"][epoch][what], serial["epochs"][epoch][what]) << what;
    }
  }
}

// A checkpoint holds the mean of the workers' own momentum.
TEST(Mpi, a_checkpoint_of_ranks_goes_on_as_one_of_threads) {
  const Words job =
      kShort + Words{"--strategy",   "local-sgd", "--sync-every",       "3", "--momentum", "0.9",
                     "--sync-state", "private",   "--checkpoint-every", "1"};
  const auto resumed = [](const std::string& out) {
    return hash_of(run_program(
        {"train", "--resume", out, "--epochs", "3", "--workers", "2", "--json", "--quiet"}));
  };
  const TemporaryFolder folder;
  EXPECT_EQ(run_program(job + Words{"--workers", "2", "--out", folder.file("threads")}).exit_code,
            0);
  EXPECT_EQ(run_on_ranks(2, job + Words{"--out", folder.file("ranks")}).exit_code, 0);
  EXPECT_EQ(resumed(folder.file("ranks")), resumed(folder.file("threads")));
}

TEST(Mpi, ranks_of_several_workers_are_so_many_workers) {
  const Words job = kShort + Words{"--update", "sliced", "--deterministic"};
  EXPECT_EQ(hash_of(run_on_ranks(2, job + Words{"--workers", "2"})),
            hash_of(run_program(job + Words{"--workers", "4"})));
}

// The ranks' processes, in their order, and the tracks of each.
std::vector<std::set<std::string>> tracks_of_ranks(const ReadTrace& trace, int ranks) {
  std::vector<std::set<std::string>> tracks(static_cast<size_t>(ranks));
  for (const std::string& track : trace.tracks()) {
    const int rank = std::stoi(track.substr(std::string("rank ").size()));
    tracks.at(static_cast<size_t>(rank)).insert(track);
  }
  return tracks;
}

TEST(Mpi, a_trace_has_every_rank_and_shows_messages_beside_backward) {
  const auto traced = [](const char* overlap, const char* transport) {
    const TemporaryFolder folder;
    const std::string file = folder.file("trace.json");
    const ProcessResult result =
        run_on_ranks(2, {"train", "--epochs", "4", "--hidden", "128,128,128", "--batch-size", "128",
                         "--bucket-mb", "0.06", "--overlap", overlap, "--mpi-transport", transport,
                         "--trace", file, "--trace-steps", "4:40"});
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return ReadTrace(read_file(file));
  };
  for (const char* overlap : {"on", "off"}) {
    const ReadTrace trace = traced(overlap, "messages");
    const auto ranks = tracks_of_ranks(trace, 2);
    double together = 0.0;
    for (const std::set<std::string>& tracks : ranks) {
      ASSERT_EQ(tracks.size(), 2) << "the worker and its messages";
      const std::string worker = *tracks.begin(), messages = *tracks.rbegin();
      EXPECT_THAT(worker, HasSubstr("pid"));
      EXPECT_THAT(messages, ::testing::EndsWith(": messages"));
      EXPECT_EQ(trace.steps(worker).size(), 36);
      EXPECT_EQ(trace.steps(messages), trace.steps(worker));
      EXPECT_FALSE(trace.of(worker, "exposed_communication").empty());
      together += seconds_together(trace.of(messages, "communication"),
                                   trace.of(worker, "compute", "backward"));
    }
    if (overlap == std::string("on")) {
      EXPECT_GT(together, 0.0);
    } else {
      EXPECT_EQ(together, 0.0);
    }
  }
  const ReadTrace shared = traced("on", "shared");
  EXPECT_EQ(shared.tracks().size(), 2);
  EXPECT_EQ(shared.other()["clock"], "the steady clock of one machine");
}

TEST(Mpi, the_first_rank_alone_speaks_and_writes) {
  const TemporaryFolder folder;
  const std::string out = folder.file("run");
  const ProcessResult result =
      run_on_ranks(2, {"train", "--epochs", "2", "--out", out, "--checkpoint-every", "1"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(count(result.out, "sync:2@mpi: ok"), 1) << result.out;
  EXPECT_EQ(count(result.err, "epoch 2/2"), 1) << result.err;
  const auto document = nlohmann::json::parse(read_file(out + "/result.json"));
  const nlohmann::json& run = document["runs"][0];
  EXPECT_EQ(run["ranks"], 2);
  EXPECT_EQ(run["workers"], 2);
  EXPECT_EQ(run["workers_time"].size(), 2u);
  EXPECT_GT(run["communication"]["bytes"], 0);

  const ProcessResult resumed =
      run_on_ranks(2, {"train", "--resume", out, "--epochs", "3", "--json", "--quiet"});
  EXPECT_EQ(run_of(resumed)["epochs"].size(), 3u);
}

TEST(Mpi, a_signal_stops_all_ranks_after_the_same_step_with_a_checkpoint) {
  for (const char* transport : kTransports) {
    const TemporaryFolder folder;
    const std::string out = folder.file("run");
    Command command(on_ranks(2, {"train", "--epochs", "100000", "--eval-every", "1000", "--out",
                                 out, "--mpi-transport", transport}),
                    folder.file(""), kMpiEnvironment);
    ASSERT_TRUE(command.wait_for_error_text("epoch "));
    command.send(SIGTERM);
    const ProcessResult result = command.wait();
    EXPECT_NE(result.exit_code, 0);
    EXPECT_THAT(result.err, HasSubstr("--resume")) << transport;
    const ProcessResult resumed =
        run_program({"train", "--resume", out, "--epochs", "1", "--json", "--quiet"});
    EXPECT_EQ(resumed.exit_code, 0) << resumed.err;
  }
}

TEST(Mpi, what_cannot_work_is_said_once_with_its_code) {
  const struct {
    Words arguments;
    int code;
    const char* text;
  } cases[] = {
      {{"train", "--lr", "x"}, 2, "--lr"},
      {{"train", "--no-such"}, 2, "--no-such"},
      {{"train", "--strategy", "hogwild"}, 2, "hogwild"},
      {{"train", "--strategy", "serial"}, 2, "serial has one worker"},
      {{"train", "--update", "factors"}, 2, "--update factors"},
      {{"train", "--data", "csv:/nowhere.csv"}, 3, "/nowhere.csv"},
      {{"train", "--mpi-transport", "messages", "--update", "sliced"}, 2, "shared memory"},
      {{"eval", "--checkpoint", "x"}, 2, "work of one process"},
      {{"train", "--samples", "1"}, 2, "more workers than"},
      {{"train", "--epochs", "3", "--lr", "1e30"}, 6, "diverged"},
  };
  for (const auto& bad : cases) {
    const ProcessResult result = run_on_ranks(2, bad.arguments);
    EXPECT_EQ(result.exit_code, bad.code) << result.err;
    EXPECT_THAT(result.err, HasSubstr(bad.text));
    EXPECT_EQ(count(result.err, "error: "), 1) << result.err;
  }
}

TEST(Mpi, ranks_that_disagree_are_refused_by_name_and_value) {
  const TemporaryFolder folder;
  const Words words = {LOCKSTEP_MPIRUN,
                       "--oversubscribe",
                       "-n",
                       "1",
                       program(),
                       "train",
                       "--lr",
                       "0.1",
                       ":",
                       "-n",
                       "1",
                       program(),
                       "train",
                       "--lr",
                       "0.2"};
  Command command(words, folder.file(""), kMpiEnvironment);
  const ProcessResult result = command.wait();
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.err, AllOf(HasSubstr("rank 1"), HasSubstr("has --lr 0.2, rank 0 has 0.1")));
  EXPECT_EQ(count(result.err, "error: "), 1) << result.err;
}

TEST(Mpi, compare_starts_ranks_itself) {
  const ProcessResult result =
      run_program({"compare", "--modes", "serial,sync:2@mpi,local-sgd:2:4@mpi", "--epochs", "2",
                   "--repeats", "2", "--warmup", "0", "--json", "--quiet"},
                  kMpiEnvironment);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  const nlohmann::json document = result.document();
  EXPECT_THAT(schema_errors(document), IsEmpty());
  const nlohmann::json& runs = document["runs"];
  ASSERT_EQ(runs.size(), 3u);
  EXPECT_EQ(runs[1]["name"], "sync:2@mpi");
  EXPECT_EQ(runs[2]["name"], "local-sgd:2:4@mpi");
  for (int i = 1; i < 3; ++i) {
    EXPECT_EQ(runs[i]["run_status"], "ok") << runs[i]["reason"];
    EXPECT_EQ(runs[i]["ranks"], 2);
    EXPECT_EQ(runs[i]["repeats"].size(), 2u);
    EXPECT_GT(runs[i]["speedup"], 0.0);
    EXPECT_DOUBLE_EQ(runs[i]["efficiency"], runs[i]["speedup"].get<double>() / 2.0);
    EXPECT_NEAR(runs[i]["final"]["test_accuracy"], runs[0]["final"]["test_accuracy"], 0.2);
  }
}

TEST(Mpi, doctor_judges_the_ranks_together) {
  const ProcessResult result = run_on_ranks(3, {"doctor", "--json"});
  EXPECT_EQ(result.exit_code, 0) << result.err << result.out;
  const nlohmann::json document = result.document();
  EXPECT_THAT(schema_errors(document), IsEmpty());
  std::map<std::string, nlohmann::json> findings;
  for (const nlohmann::json& finding : document["doctor"]) findings[finding["name"]] = finding;
  EXPECT_THAT(std::string(findings["ranks"]["detail"]), HasSubstr("3 on 1 machine"));
  EXPECT_EQ(findings["memory shared by ranks"]["verdict"], "PASS");
  EXPECT_THAT(std::string(findings["all-reduce"]["detail"]), HasSubstr("sums exact"));
}

TEST(Mpi, compare_tells_why_ranks_gave_nothing) {
  const ProcessResult result =
      run_program({"compare", "--modes", "serial,sync:2@mpi", "--epochs", "1", "--json", "--quiet"},
                  {"PATH=/nowhere"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  const nlohmann::json run = result.document()["runs"][1];
  EXPECT_EQ(run["run_status"], "not_run");
  EXPECT_THAT(std::string(run["reason"]), HasSubstr("mpirun cannot be started"));
}

// The pids of the ranks of a job, in their order: children of mpirun.
std::vector<pid_t> ranks_of(pid_t mpirun) {
  std::vector<pid_t> pids;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    const std::string name = entry.path().filename();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    const std::string stat = read_file(entry.path() / "stat");
    const size_t end = stat.rfind(')');
    if (end == std::string::npos) continue;
    pid_t parent = 0;
    if (std::sscanf(stat.c_str() + end + 1, " %*c %d", &parent) == 1 && parent == mpirun) {
      pids.push_back(std::stoi(name));
    }
  }
  std::ranges::sort(pids);
  return pids;
}

// The processors that threads of a process are pinned to, one each.
std::set<std::string> pinned_processors(pid_t pid) {
  std::set<std::string> processors;
  const std::string tasks = "/proc/" + std::to_string(pid) + "/task";
  for (const auto& task : std::filesystem::directory_iterator(tasks)) {
    const std::string status = read_file(task.path() / "status");
    const std::string name = "Cpus_allowed_list:\t";
    const size_t begin = status.find(name);
    if (begin == std::string::npos) continue;
    const size_t value = begin + name.size();
    const std::string list = status.substr(value, status.find('\n', value) - value);
    if (list.find_first_of(",-") == std::string::npos) processors.insert(list);
  }
  return processors;
}

TEST(Mpi, ranks_of_one_machine_take_processors_of_their_own) {
  if (std::thread::hardware_concurrency() < 2) GTEST_SKIP() << "there is one processor";
  for (const char* transport : kTransports) {
    const TemporaryFolder folder;
    Command command(on_ranks(2, {"train", "--epochs", "1000000", "--mpi-transport", transport}),
                    folder.file(""), kMpiEnvironment);
    ASSERT_TRUE(command.wait_for_error_text("epoch "));
    std::set<std::string> all;
    for (const pid_t pid : ranks_of(command.pid())) {
      const std::set<std::string> own = pinned_processors(pid);
      EXPECT_EQ(own.size(), 1u) << transport;
      all.insert(own.begin(), own.end());
    }
    EXPECT_EQ(all.size(), 2u) << transport;
    command.send(SIGTERM);
    EXPECT_NE(command.wait().exit_code, 0);
  }
}

bool runs(pid_t pid) {
  const std::string stat = read_file("/proc/" + std::to_string(pid) + "/stat");
  const size_t end = stat.rfind(')');
  return end != std::string::npos && stat[end + 2] != 'Z';
}

// mpirun may end a moment before the last of its ranks.
bool ends_soon(pid_t pid, int seconds = 3) {
  for (int look = 0; look < 100 * seconds; ++look) {
    if (!runs(pid)) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return false;
}

TEST(Mpi, ranks_end_without_mpirun) {
  for (const char* transport : kTransports) {
    const TemporaryFolder folder;
    // mpirun would have removed MPI's files in /tmp and /dev/shm: they go with this folder.
    Words environment = kMpiEnvironment;
    for (const char* place :
         {"orte_tmpdir_base", "btl_vader_backing_directory", "osc_sm_backing_directory"}) {
      environment.push_back("OMPI_MCA_" + std::string(place) + "=" + folder.file(""));
    }
    Command command(on_ranks(3, {"train", "--epochs", "1000000", "--comm-timeout", "2",
                                 "--eval-every", "3", "--mpi-transport", transport}),
                    folder.file(""), environment);
    ASSERT_TRUE(command.wait_for_error_text("epoch "));
    const std::vector<pid_t> pids = ranks_of(command.pid());
    ASSERT_EQ(pids.size(), 3u);
    command.send(SIGKILL);
    EXPECT_EQ(command.wait().exit_code, 128 + SIGKILL);
    for (const pid_t pid : pids) EXPECT_TRUE(ends_soon(pid, 10)) << transport << ' ' << pid;
  }
}

// Loses a rank at a random moment: nothing hangs, nothing stays, the exit code tells.
void lose_a_rank(int signal, const char* transport, unsigned seed) {
  std::mt19937 random(seed);
  const int ranks = 2 + static_cast<int>(random() % 3);
  const TemporaryFolder folder;
  Command command(on_ranks(ranks, {"train", "--epochs", "1000000", "--comm-timeout", "2",
                                   "--eval-every", "3", "--mpi-transport", transport}),
                  folder.file(""), kMpiEnvironment);
  ASSERT_TRUE(command.wait_for_error_text("epoch "));
  std::this_thread::sleep_for(std::chrono::microseconds(random() % 200'000));
  const std::vector<pid_t> pids = ranks_of(command.pid());
  ASSERT_EQ(pids.size(), static_cast<size_t>(ranks));
  const auto start = std::chrono::steady_clock::now();
  const pid_t lost = pids[random() % pids.size()];
  kill(lost, signal);
  const ProcessResult result = command.wait();
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  // Where rank 0 is the one, the others wait 2 s longer for it to speak, and then call the roll for
  // 1 s; mpirun leaves 1 s between its signals. A busy machine adds to that.
  EXPECT_LT(took.count(), 2.0 + 5.0 + 8.0) << "seed " << seed << '\n' << result.err;
  const int expected = signal == SIGSTOP ? 5 : 128 + SIGKILL;
  EXPECT_EQ(result.exit_code, expected) << "seed " << seed << '\n' << result.err;
  if (signal == SIGSTOP) {
    EXPECT_THAT(result.err,
                AllOf(HasSubstr("waited"), HasSubstr("pid " + std::to_string(lost) + ", stopped)")))
        << "seed " << seed;
  }
  for (const pid_t pid : pids) EXPECT_TRUE(ends_soon(pid)) << "rank " << pid << " stays";
}

// LOCKSTEP_TEST_TRIALS asks for more.
TEST(Mpi, a_rank_lost_at_any_moment_ends_the_job) {
  const char* asked = std::getenv("LOCKSTEP_TEST_TRIALS");
  const int trials = asked != nullptr ? std::atoi(asked) : 1;
  for (int trial = 0; trial < trials; ++trial) {
    for (const int signal : {SIGKILL, SIGSTOP}) {
      for (const char* transport : kTransports) {
        lose_a_rank(signal, transport, static_cast<unsigned>(trial));
      }
    }
  }
}

}  // namespace
}  // namespace lockstep::testing
