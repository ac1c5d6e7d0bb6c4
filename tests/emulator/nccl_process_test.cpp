// Communicators over several processes: of the program whose path is NCCL_PROGRAM.
#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <map>

#include "nccl_fixture.h"

extern char** environ;

namespace lockstep::test {
namespace {

using Environment = std::map<std::string, std::string>;

// One process of NCCL_PROGRAM; it is killed where it has not ended when this does.
class Process {
 public:
  Process(const std::vector<std::string>& arguments, const Environment& environment) {
    std::vector<std::string> variables;
    for (char** variable = environ; *variable; ++variable) variables.emplace_back(*variable);
    for (const auto& [name, value] : environment) variables.push_back(name + "=" + value);
    std::vector<std::string> words = {NCCL_PROGRAM};
    words.insert(words.end(), arguments.begin(), arguments.end());
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    path_ = testing::TempDir() + "nccl_process_XXXXXX";
    output_ = mkstemp(path_.data());
    posix_spawn_file_actions_adddup2(&actions, output_, 2);
    EXPECT_EQ(posix_spawn(&id_, NCCL_PROGRAM, &actions, nullptr, pointers(words).data(),
                          pointers(variables).data()),
              0);
    posix_spawn_file_actions_destroy(&actions);
  }
  ~Process() {
    if (id_ > 0) {
      kill(id_, SIGKILL);
      waitpid(id_, nullptr, 0);
    }
    close(output_);
    unlink(path_.c_str());
  }
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  // The exit code; -1 where it has not ended in time, or was killed.
  int wait(int seconds = 120) {
    int status = 0;
    for (int i = 0; i < 200 * seconds; ++i) {
      if (waitpid(id_, &status, WNOHANG) == id_) {
        id_ = 0;
        return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return -1;
  }
  bool has_stopped() {
    int status = 0;
    for (int i = 0; i < 20'000; ++i) {
      if (waitpid(id_, &status, WNOHANG | WUNTRACED) == id_) return WIFSTOPPED(status);
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return false;
  }
  // What it wrote to stderr.
  std::string output() const {
    std::string text(static_cast<std::size_t>(lseek(output_, 0, SEEK_END)), ' ');
    return pread(output_, text.data(), text.size(), 0) >= 0 ? text : "";
  }

 private:
  static std::vector<char*> pointers(std::vector<std::string>& words) {
    std::vector<char*> all;
    for (auto& word : words) all.push_back(word.data());
    all.push_back(nullptr);
    return all;
  }

  pid_t id_ = 0;
  std::string path_;
  int output_ = -1;
};

std::unique_ptr<Process> start(const std::string& name, int first, int here, int size,
                               Environment environment) {
  environment["LOCKSTEP_EMULATOR_DEVICES"] = "8";
  return std::make_unique<Process>(
      std::vector<std::string>{name, std::to_string(first), std::to_string(here),
                               std::to_string(size)},
      environment);
}

std::string words(const ncclUniqueId& id) {
  std::string text;
  for (const char c : id.internal) {
    char byte[3];
    std::snprintf(byte, sizeof byte, "%02x", static_cast<unsigned>(static_cast<unsigned char>(c)));
    text += byte;
  }
  return text;
}

// A socket that listens, and its port.
struct Listening {
  Listening() : socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    bind(socket, reinterpret_cast<sockaddr*>(&address), sizeof address);
    listen(socket, 8);
    socklen_t bytes = sizeof address;
    getsockname(socket, reinterpret_cast<sockaddr*>(&address), &bytes);
    name = "127.0.0.1:" + std::to_string(ntohs(address.sin_port));
  }
  ~Listening() { close(socket); }
  int socket;
  std::string name;
};

std::string free_port() {
  return Listening().name;
}

class NcclProcessTest : public NcclTest {
 protected:
  void expect_all(std::vector<std::unique_ptr<Process>>& processes) {
    for (auto& process : processes) EXPECT_EQ(process->wait(), 0) << process->output();
  }
};

TEST_F(NcclProcessTest, ranks_meet_at_the_address_of_the_environment) {
  const Environment environment{{"NCCL_COMM_ID", free_port()}};
  std::vector<std::unique_ptr<Process>> processes;
  for (int rank = 3; rank >= 0; --rank) {
    processes.push_back(start("reduce", rank, 1, 4, environment));
  }
  expect_all(processes);
}

TEST_F(NcclProcessTest, several_ranks_in_each_of_several_processes) {
  const Environment environment{{"NCCL_COMM_ID", free_port()}};
  std::vector<std::unique_ptr<Process>> processes;
  processes.push_back(start("reduce", 0, 2, 5, environment));
  processes.push_back(start("reduce", 2, 3, 5, environment));
  expect_all(processes);
}

TEST_F(NcclProcessTest, ranks_meet_by_a_unique_id_that_is_handed_round) {
  ncclUniqueId id;
  check(ncclGetUniqueId(&id), "ncclGetUniqueId");
  const Environment environment{{"TEST_UNIQUE_ID", words(id)}};
  std::vector<std::unique_ptr<Process>> processes;
  processes.push_back(start("reduce", 0, 2, 3, environment));
  processes.push_back(start("reduce", 2, 1, 3, environment));
  expect_all(processes);
}

TEST_F(NcclProcessTest, the_interface_can_be_chosen) {
  ncclUniqueId id;
  for (const char* interface : {"lo", "no such interface"}) {
    setenv("NCCL_SOCKET_IFNAME", interface, 1);
    check(ncclGetUniqueId(&id), "ncclGetUniqueId");
    const std::string inside(id.internal, sizeof id.internal);
    EXPECT_NE(inside.find("127.0.0.1"), std::string::npos);
  }
  unsetenv("NCCL_SOCKET_IFNAME");
}

TEST_F(NcclProcessTest, a_port_that_is_taken_is_an_error) {
  const Listening other;
  setenv("NCCL_COMM_ID", other.name.c_str(), 1);
  ncclUniqueId id;
  check(ncclGetUniqueId(&id), "ncclGetUniqueId");
  ncclComm_t comm = nullptr;
  EXPECT_EQ(ncclCommInitRank(&comm, 2, id, 0), ncclSystemError);
  const std::string said = ncclGetLastError(nullptr);
  EXPECT_NE(said.find("Address already in use"), std::string::npos) << said;
  setenv("NCCL_COMM_ID", "nonsense", 1);
  EXPECT_EQ(ncclGetUniqueId(&id), ncclInvalidArgument);
  unsetenv("NCCL_COMM_ID");
}

TEST_F(NcclProcessTest, two_processes_on_one_device) {
  const std::string name = free_port();
  const Environment same{{"NCCL_COMM_ID", name}, {"TEST_SAME_DEVICE", "1"}};
  const auto first = start("reduce", 0, 1, 2, same);
  const auto second = start("reduce", 1, 1, 2, same);
  EXPECT_EQ(first->wait(), 1);
  EXPECT_EQ(second->wait(), 1);
  EXPECT_NE(first->output().find("Duplicate GPU detected"), std::string::npos) << first->output();

  std::vector<std::unique_ptr<Process>> processes;
  Environment apart{{"NCCL_COMM_ID", free_port()}, {"TEST_SAME_DEVICE", "1"}};
  for (int rank = 0; rank < 2; ++rank) {
    apart["NCCL_HOSTID"] = "r" + std::to_string(rank);
    processes.push_back(start("reduce", rank, 1, 2, apart));
  }
  expect_all(processes);
}

TEST_F(NcclProcessTest, a_process_that_dies_is_a_remote_error_of_the_others) {
  for (const char* name : {"lose_last", "lose_first"}) {
    const Environment environment{{"NCCL_COMM_ID", free_port()}};
    std::vector<std::unique_ptr<Process>> processes;
    for (int rank = 0; rank < 3; ++rank) {
      processes.push_back(start(name, rank, 1, 3, environment));
    }
    expect_all(processes);
  }
}

TEST_F(NcclProcessTest, a_rank_that_aborts_is_no_error_of_the_others) {
  const Environment environment{{"NCCL_COMM_ID", free_port()}};
  std::vector<std::unique_ptr<Process>> processes;
  for (int rank = 0; rank < 3; ++rank) {
    processes.push_back(start("abort_last", rank, 1, 3, environment));
  }
  expect_all(processes);
}

TEST_F(NcclProcessTest, a_process_that_is_stopped_does_not_hold_up_abort) {
  const Environment environment{{"NCCL_COMM_ID", free_port()}};
  std::vector<std::unique_ptr<Process>> processes;
  for (int rank = 0; rank < 2; ++rank) {
    processes.push_back(start("stop_last", rank, 1, 3, environment));
  }
  const auto stopped = start("stop_last", 2, 1, 3, environment);
  EXPECT_TRUE(stopped->has_stopped()) << stopped->output();
  expect_all(processes);
}

// With a latency of hours, which nobody really waits for.
TEST_F(NcclProcessTest, processes_share_virtual_time) {
  const Environment environment{{"NCCL_COMM_ID", free_port()},
                                {"LOCKSTEP_EMULATOR_VIRTUAL_TIME", "1"},
                                {"LOCKSTEP_EMULATOR_NCCL_LATENCY", "10000000000"}};
  std::vector<std::unique_ptr<Process>> processes;
  for (int rank = 0; rank < 3; ++rank) {
    processes.push_back(start("virtual_time", rank, 1, 3, environment));
  }
  expect_all(processes);
}

TEST_F(NcclProcessTest, faults_come_from_the_environment) {
  const Environment environment{{"NCCL_COMM_ID", free_port()},
                                {"LOCKSTEP_EMULATOR_FAULT_RANK", "1"},
                                {"LOCKSTEP_EMULATOR_FAIL_INIT", "0"}};
  const auto failing = start("reduce", 1, 1, 2, environment);
  EXPECT_EQ(failing->wait(), 1);
  EXPECT_NE(failing->output().find("injected"), std::string::npos) << failing->output();
}

}  // namespace
}  // namespace lockstep::test
