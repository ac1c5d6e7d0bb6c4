// GPUs of several processes: mpirun's, whose id goes over MPI, and torchrun's, which meet by NCCL's
// own bootstrap. On the emulator each process has its own GPUs, told apart by their numbers.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <memory>
#include <random>
#include <stdexcept>
#include <thread>

#include "cli/launchers.h"
#include "train/trace_checks.h"

namespace lockstep::testing {
namespace {

using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::HasSubstr;

Words environment(int gpus) {
  return Words{"LOCKSTEP_EMULATOR_DEVICES=" + std::to_string(gpus)} + kMpiEnvironment;
}

// A socket that listens, as the store of torchrun does on MASTER_PORT. The port after it is free.
class Store {
 public:
  Store() {
    for (int attempt = 0; attempt < 100; ++attempt) {
      listen_on(0);
      port_ = port_of(socket_);
      if (next_is_free()) return;
      close(socket_);
    }
    throw std::runtime_error("no two ports in a row are free");
  }
  ~Store() { close(socket_); }
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;
  int port() const { return port_; }

 private:
  static sockaddr_in address(int port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_ANY);
    address.sin_port = htons(static_cast<uint16_t>(port));
    return address;
  }
  static int bound(int port) {
    const int made = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const sockaddr_in at = address(port);
    if (bind(made, reinterpret_cast<const sockaddr*>(&at), sizeof at) == 0) return made;
    close(made);
    return -1;
  }
  static int port_of(int socket) {
    sockaddr_in at{};
    socklen_t size = sizeof at;
    getsockname(socket, reinterpret_cast<sockaddr*>(&at), &size);
    return ntohs(at.sin_port);
  }
  void listen_on(int port) {
    socket_ = bound(port);
    if (socket_ < 0 || listen(socket_, 8) != 0) throw std::runtime_error("no socket listens");
  }
  bool next_is_free() const {
    const int next = bound(port_ + 1);
    if (next >= 0) close(next);
    return next >= 0;
  }

  int socket_ = -1;
  int port_ = 0;
};

// The processes that `torchrun --nproc-per-node RANKS --no-python lockstep ARGUMENTS` starts, with
// its variables and its store; `more` variables win over those.
class Torchrun {
 public:
  Torchrun(int ranks, int gpus, const Words& arguments, const Words& more = {})
      : Torchrun(std::vector<Words>(ranks, arguments), gpus, more) {}
  // Each rank with arguments of its own.
  Torchrun(const std::vector<Words>& arguments, int gpus, const Words& more = {}) {
    const std::string all = std::to_string(arguments.size());
    for (size_t rank = 0; rank < arguments.size(); ++rank) {
      folders_.push_back(std::make_unique<TemporaryFolder>());
      const std::string number = std::to_string(rank);
      const Words variables = {
          "RANK=" + number,        "LOCAL_RANK=" + number,
          "WORLD_SIZE=" + all,     "LOCAL_WORLD_SIZE=" + all,
          "MASTER_ADDR=localhost", "MASTER_PORT=" + std::to_string(store_.port())};
      ranks_.push_back(std::make_unique<Command>(Words{program()} + arguments[rank],
                                                 folders_.back()->file(""),
                                                 more + environment(gpus) + variables));
    }
  }
  Command& rank(int number) { return *ranks_[number]; }
  std::vector<ProcessResult> wait() {
    std::vector<ProcessResult> results;
    for (const auto& rank : ranks_) results.push_back(rank->wait());
    return results;
  }

 private:
  Store store_;
  std::vector<std::unique_ptr<TemporaryFolder>> folders_;
  std::vector<std::unique_ptr<Command>> ranks_;
};

#ifdef LOCKSTEP_MPIRUN
ProcessResult run_on_ranks(int ranks, int gpus, const Words& arguments, const Words& more = {}) {
  const TemporaryFolder folder;
  Command command(on_ranks(ranks, arguments), folder.file(""), environment(gpus) + more);
  return command.wait();
}
#endif

std::string hash_of(Torchrun job) {
  const std::vector<ProcessResult> results = job.wait();
  for (const ProcessResult& result : results) EXPECT_EQ(result.exit_code, 0) << result.err;
  return hash_of(results[0]);
}

const Words kJob = {"train", "--json",     "--quiet", "--epochs", "2",   "--hidden",
                    "24,12", "--samples",  "333",     "--lr",     "0.1", "--batch-size",
                    "50",    "--momentum", "0.9",     "--device", "cuda"};
const Words kLong = {"train", "--epochs",     "1000000", "--hidden",       "8",     "--batch-size",
                     "50",    "--samples",    "333",     "--lr",           "0.001", "--device",
                     "cuda",  "--eval-every", "5",       "--comm-timeout", "3"};

std::string serial_hash(int parts) {
  return hash_of(run_program(
      kJob + Words{"--strategy", "serial", "--accumulate", std::to_string(parts)}, environment(1)));
}

TEST(GpuRanks, torchruns_have_the_bits_of_serial_accumulate) {
  EXPECT_EQ(hash_of(Torchrun(2, 2, kJob + Words{"--deterministic"})), serial_hash(2));
  EXPECT_EQ(hash_of(Torchrun(3, 3, kJob + Words{"--deterministic", "--bucket-mb", "0.001"})),
            serial_hash(3));
  EXPECT_EQ(hash_of(Torchrun(2, 4, kJob + Words{"--deterministic", "--workers", "2"})),
            serial_hash(4));
}

// With one GPU a process the sums are in the graph, and so are the marks of what is traced.
TEST(GpuRanks, of_torchrun_are_traced_on_the_first) {
  const TemporaryFolder folder;
  const std::string file = folder.file("trace.json");
  for (const ProcessResult& result :
       Torchrun(2, 2, kJob + Words{"--trace", file, "--trace-steps", "2:12"}).wait()) {
    EXPECT_EQ(result.exit_code, 0) << result.err;
  }
  const ReadTrace trace(read_file(file));
  EXPECT_EQ(trace.tracks().size(), 6) << "of each the worker and two streams";
  for (const std::string& track : trace.tracks()) {
    EXPECT_EQ(trace.steps(track), (std::set<int64_t>{2, 3, 4, 5, 6, 7, 8, 9, 10, 11})) << track;
  }
}

// Two ranks' sums have one order: NCCL's own are exact too.
TEST(GpuRanks, two_of_torchrun_are_exact_by_ncclAllReduce) {
  EXPECT_EQ(hash_of(Torchrun(2, 2, kJob)), serial_hash(2));
  EXPECT_EQ(hash_of(Torchrun(2, 2, kJob + Words{"--overlap", "off"})), serial_hash(2));
}

TEST(GpuRanks, of_torchrun_train_local_sgd_as_threads_do) {
  const Words job = kJob + Words{"--strategy", "local-sgd", "--sync-every", "3"};
  EXPECT_EQ(hash_of(Torchrun(2, 2, job)),
            hash_of(run_program(job + Words{"--workers", "2"}, environment(2))));
}

// A process that sees as many GPUs as it has workers takes these, which are others than its
// neighbour's.
TEST(GpuRanks, take_the_gpus_whose_turn_it_is) {
  EXPECT_EQ(hash_of(Torchrun(2, 4, kJob + Words{"--deterministic", "--device", "cuda:3,1"})),
            serial_hash(2));
}

TEST(GpuRanks, more_than_gpus_are_refused_with_the_numbers) {
  Torchrun job(3, 2, kJob + Words{"--init-timeout", "2"});
  const std::vector<ProcessResult> results = job.wait();
  EXPECT_EQ(results[2].exit_code, 4);
  EXPECT_THAT(results[2].err, AllOf(HasSubstr("3 ranks of this machine"), HasSubstr("there are 2"),
                                    HasSubstr("start at most 2 ranks")));
  for (int rank : {0, 1}) {
    EXPECT_EQ(results[rank].exit_code, 5);
    EXPECT_THAT(results[rank].err, AllOf(HasSubstr("did not connect"), HasSubstr("did not arrive"),
                                         HasSubstr("/dev/shm")));
  }
}

TEST(GpuRanks, on_one_gpu_are_refused_by_its_name) {
  for (const ProcessResult& result : Torchrun(2, 1, kJob).wait()) {
    EXPECT_EQ(result.exit_code, 4) << result.err;
    EXPECT_THAT(result.err, AllOf(HasSubstr("so does another rank"), HasSubstr("LOCAL_RANK")));
  }
}

TEST(GpuRanks, torchrun_on_cpus_is_refused) {
  for (const char* device : {"cpu", "auto"}) {
    for (const ProcessResult& result : Torchrun(2, 2, {"train", "--device", device}).wait()) {
      EXPECT_EQ(result.exit_code, 2);
      EXPECT_THAT(result.err, HasSubstr("use mpirun -n 2"));
    }
  }
}

TEST(GpuRanks, variables_that_lead_nowhere_are_refused) {
  const struct {
    Words variables;
    int code;
    const char* text;
  } cases[] = {
      {{"MASTER_ADDR="}, 2, "MASTER_ADDR is not"},
      {{"MASTER_PORT="}, 2, "MASTER_PORT is not"},
      {{"MASTER_PORT=65536"}, 2, "not a port"},
      {{"LOCKSTEP_PORT=x"}, 2, "LOCKSTEP_PORT=x"},
      {{"MASTER_ADDR=no-such-host.invalid"}, 5, "no such host"},
      // A network that is reserved for documentation: nobody answers.
      {{"MASTER_ADDR=192.0.2.1"}, 5, ""},
  };
  for (const auto& bad : cases) {
    Torchrun job(2, 2, kJob + Words{"--init-timeout", "2"}, bad.variables);
    for (const ProcessResult& result : job.wait()) {
      EXPECT_EQ(result.exit_code, bad.code) << result.err;
      EXPECT_THAT(result.err, HasSubstr(bad.text));
    }
  }
}

TEST(GpuRanks, that_disagree_are_refused_by_name_and_value) {
  Torchrun job({kJob + Words{"--seed", "1"}, kJob + Words{"--seed", "2"}}, 2);
  const std::vector<ProcessResult> results = job.wait();
  for (const ProcessResult& result : results) EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(results[0].err, AllOf(HasSubstr("rank 1"), HasSubstr("has --seed 2, rank 0 has 1")));
}

TEST(GpuRanks, started_by_hand_need_no_local_size) {
  EXPECT_EQ(hash_of(Torchrun(2, 2, kJob + Words{"--deterministic"}, {"LOCAL_WORLD_SIZE="})),
            serial_hash(2));
}

TEST(GpuRanks, numbers_beyond_reason_are_refused) {
  for (const Words& wrong :
       {Words{"--workers", "99999999999999999999"}, Words{"--workers", "1e300"},
        Words{"--init-timeout", "1e300"}, Words{"--workers", "nan"}}) {
    std::string errors;
    for (const ProcessResult& result : Torchrun(2, 2, kJob + wrong).wait()) {
      EXPECT_THAT(result.exit_code, AnyOf(2, 4)) << result.err;
      errors += result.err;
    }
    EXPECT_THAT(errors, HasSubstr(wrong[0]));
  }
}

// Of every rank that is lost the others hear, whatever it does: nothing hangs.
TEST(GpuRanks, a_lost_one_of_torchrun_ends_the_others) {
  std::mt19937 random(1);
  for (const int signal : {SIGKILL, SIGSTOP}) {
    Torchrun job(2, 2, kLong);
    ASSERT_TRUE(job.rank(0).wait_for_error_text("epoch "));
    std::this_thread::sleep_for(std::chrono::microseconds(random() % 300'000));
    const auto start = std::chrono::steady_clock::now();
    job.rank(1).send(signal);
    const ProcessResult first = job.rank(0).wait();
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    job.rank(1).send(SIGKILL);
    EXPECT_EQ(first.exit_code, 5) << first.err;
    EXPECT_THAT(first.err, HasSubstr("rank 1")) << first.err;
    EXPECT_LT(took.count(), 3.0 + 5.0);
  }
}

// torchrun signals every process, one after the other.
TEST(GpuRanks, a_signal_to_one_of_torchrun_stops_all_after_the_same_step) {
  const TemporaryFolder folder;
  const std::string out = folder.file("run");
  Torchrun job(2, 2, kLong + Words{"--out", out});
  ASSERT_TRUE(job.rank(0).wait_for_error_text("epoch "));
  job.rank(1).send(SIGTERM);
  for (const ProcessResult& result : job.wait()) EXPECT_EQ(result.exit_code, 128 + SIGTERM);
  const ProcessResult resumed = run_program(
      {"train", "--resume", out, "--epochs", "1", "--json", "--quiet", "--device", "cpu"});
  EXPECT_EQ(resumed.exit_code, 0) << resumed.err;
}

#ifdef LOCKSTEP_MPIRUN
TEST(GpuRanks, of_mpirun_have_the_bits_of_serial_accumulate) {
  EXPECT_EQ(hash_of(run_on_ranks(2, 2, kJob + Words{"--deterministic"})), serial_hash(2));
  EXPECT_EQ(hash_of(run_on_ranks(3, 3, kJob + Words{"--deterministic", "--bucket-mb", "0"})),
            serial_hash(3));
  EXPECT_EQ(hash_of(run_on_ranks(2, 4, kJob + Words{"--deterministic", "--workers", "2"})),
            serial_hash(4));
}

TEST(GpuRanks, of_mpirun_write_checkpoints_that_go_on) {
  const TemporaryFolder folder;
  const std::string out = folder.file("run");
  EXPECT_EQ(
      run_on_ranks(2, 2, kJob + Words{"--deterministic", "--out", out, "--checkpoint-every", "3s"})
          .exit_code,
      0);
  const Words go_on = {"train", "--resume", out, "--epochs", "3", "--json", "--quiet"};
  EXPECT_EQ(hash_of(run_on_ranks(2, 2, go_on)),
            hash_of(run_program(
                kJob + Words{"--strategy", "serial", "--accumulate", "2", "--epochs", "3"},
                environment(1))));
}

TEST(GpuRanks, of_mpirun_that_cannot_work_are_refused_by_one_voice) {
  const struct {
    int ranks, gpus;
    Words arguments;
    int code;
    const char* text;
  } cases[] = {
      {3, 2, {}, 4, "3 ranks of this machine"},
      {2, 1, {}, 4, "both take"},
      {2, 2, {"--device", "cuda:0"}, 4, "both take"},
      {2, 2, {"--device", "cuda:0,0"}, 2, "twice"},
      {2, 2, {"--device", "cuda:0,5"}, 4, "no GPU 5"},
      {2, 2, {"--strategy", "serial"}, 2, "serial has one worker"},
  };
  for (const auto& bad : cases) {
    const ProcessResult result = run_on_ranks(bad.ranks, bad.gpus, kJob + bad.arguments);
    EXPECT_EQ(result.exit_code, bad.code) << result.err;
    EXPECT_THAT(result.err, HasSubstr(bad.text));
  }
}

TEST(GpuRanks, on_gpus_and_on_cpus_are_no_job) {
  const TemporaryFolder folder;
  const Words words =
      on_ranks(1, kJob) + Words{":", "-n", "1", program()} + kJob + Words{"--device", "cpu"};
  Command command(words, folder.file(""), environment(2));
  const ProcessResult result = command.wait();
  EXPECT_EQ(result.exit_code, 2) << result.err;
  EXPECT_THAT(result.err, HasSubstr("--device cpu"));
}
#endif

}  // namespace
}  // namespace lockstep::testing
