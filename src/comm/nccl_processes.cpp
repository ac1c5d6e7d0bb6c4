// Processes that torchrun started, or a script that sets the same variables: they find each other
// by NCCL's own bootstrap, and agree on their first GPUs.
#include <arpa/inet.h>
#include <fmt/format.h>
#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <fstream>

#include "backend/cuda_collectives.h"
#include "backend/cuda_memory.h"
#include "comm/device_group.h"
#include "comm/launched.h"
#include "comm/launched_group.h"
#include "comm/wait.h"
#include "data/environment.h"
#include "lockstep/device.h"

namespace lockstep {

namespace {

constexpr const char* kVariables =
    "torchrun sets RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT; who starts processes "
    "by hand sets them too";

int port_in(const char* variable, const std::string& text) {
  constexpr int kLastPort = 65535;
  int port = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, port);
  if (error == std::errc{} && stop == end && port > 0 && port <= kLastPort) return port;
  throw Error(ErrorKind::usage, fmt::format("{}={}: not a port", variable, text),
              "ports are 1 to 65535");
}

// "10.0.0.1", or "[fd00::1]".
std::string numeric_address(const std::string& host) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int problem = getaddrinfo(host.c_str(), nullptr, &hints, &found);
  if (problem != 0) {
    throw Error(ErrorKind::communication,
                fmt::format("MASTER_ADDR={}: no such host ({})", host, gai_strerror(problem)),
                "it is the machine of rank 0, by a name that every rank's machine can resolve");
  }
  char text[INET6_ADDRSTRLEN] = {};
  const bool v6 = found->ai_family == AF_INET6;
  const void* const address =
      v6 ? static_cast<const void*>(&reinterpret_cast<sockaddr_in6*>(found->ai_addr)->sin6_addr)
         : &reinterpret_cast<sockaddr_in*>(found->ai_addr)->sin_addr;
  (void)inet_ntop(found->ai_family, address, text, sizeof text);
  freeaddrinfo(found);
  return v6 ? fmt::format("[{}]", text) : text;
}

// Where rank 0 waits for the others. MASTER_PORT itself is taken, by the store of torchrun.
std::string meeting_place() {
  if (const std::string given = environment_variable("NCCL_COMM_ID"); !given.empty()) return given;
  const std::string host = environment_variable("MASTER_ADDR");
  const std::string master = environment_variable("MASTER_PORT");
  const std::string own = environment_variable("LOCKSTEP_PORT");
  if (host.empty() || (master.empty() && own.empty())) {
    throw Error(ErrorKind::usage,
                fmt::format("RANK and WORLD_SIZE are set and {} is not",
                            host.empty() ? "MASTER_ADDR" : "MASTER_PORT"),
                kVariables);
  }
  const int port = own.empty() ? port_in("MASTER_PORT", master) + 1 : port_in("LOCKSTEP_PORT", own);
  return fmt::format("{}:{}", numeric_address(host), port);
}

[[noreturn]] void refuse_cpus(const Launch& launch, const std::string& why) {
  throw Error(
      ErrorKind::usage,
      fmt::format("{} started {} processes, {}: on CPUs ranks are MPI's", launch.launcher,
                  launch.size, why),
      fmt::format("use mpirun -n {} lockstep ...; on GPUs, --device cuda on the command line",
                  launch.size));
}

// The first of this process's GPUs.
int choose_gpu(const Launch& launch, const JoinOptions& options) {
  const DeviceRequest request = parse_device(options.device);
  if (request.kind == DeviceRequest::Kind::cpu) refuse_cpus(launch, "with --device cpu");
  const int turn = launch.local_rank.value_or(0);
  const LocalPlace place = {turn, launch.local_size.value_or(turn + 1)};
  const DeviceChoice choice = choose_device(options.device, options.workers, place);
  if (!choice.on_gpu()) refuse_cpus(launch, "on " + choice.reason);
  return choice.gpus.front();
}

// Makes a GPU the thread's current one for a while.
class CurrentGpu {
 public:
  explicit CurrentGpu(int index) {
    check(cudaGetDevice(&before_), "cudaGetDevice");
    check(cudaSetDevice(index), "cudaSetDevice");
  }
  ~CurrentGpu() { (void)cudaSetDevice(before_); }
  CurrentGpu(const CurrentGpu&) = delete;
  CurrentGpu& operator=(const CurrentGpu&) = delete;

 private:
  int before_ = 0;
};

// Equal for processes of one running system.
std::string machine_name() {
  std::string boot;
  std::ifstream("/proc/sys/kernel/random/boot_id") >> boot;
  return host_name() + " " + boot;
}

class NcclProcesses final : public LaunchedGroup {
 public:
  NcclProcesses(const Launch& launch, const JoinOptions& options)
      : LaunchedGroup(launch.launcher), gpu_(choose_gpu(launch, options)) {
    (void)gpu_memory(gpu_);  // makes it the current one
    expect(launch.rank, launch.size);
    policy_.spins = 0;
    policy_.reason_to_give_up = [this] { return reason_to_give_up(); };
    set_timeout(options.timeout);
    connect(launch, options.timeout);
    call_roll();
    find_machines();
  }
  ~NcclProcesses() override {
    if (std::uncaught_exceptions() > 0) return;
    const CurrentGpu current(gpu_);
    communicator_.reset();
    scratch_ = {};
  }

  std::vector<std::byte> all_gather_bytes(std::span<const std::byte> own) override {
    std::vector<std::byte> all(own.size() * static_cast<size_t>(size()));
    if (own.empty()) return all;
    const CurrentGpu current(gpu_);
    const size_t each = room_for(own.size(), size());
    std::vector<Transfer> sends, receives;
    for (int peer = 0; peer < size(); ++peer) {
      if (peer == rank()) continue;
      sends.push_back({peer, part(rank(), each), each});
      receives.push_back({peer, part(peer, each), each});
    }
    upload(own, part(rank(), each));
    communicator_->exchange(sends, receives);
    wait();
    for (int peer = 0; peer < size(); ++peer) {
      download(part(peer, each),
               std::span(all).subspan(own.size() * static_cast<size_t>(peer), own.size()));
    }
    return all;
  }

  void broadcast_bytes(std::span<std::byte> data, int root) override {
    if (data.empty()) return;
    const CurrentGpu current(gpu_);
    const size_t floats = room_for(data.size(), 1);
    std::vector<Transfer> sends, receives;
    if (rank() == root) {
      for (int peer = 0; peer < size(); ++peer) {
        if (peer != root) sends.push_back({peer, part(0, 0), floats});
      }
      upload(data, part(0, 0));
    } else {
      receives.push_back({root, part(0, 0), floats});
    }
    communicator_->exchange(sends, receives);
    wait();
    if (rank() != root) download(part(0, 0), data);
  }

  void barrier() override { (void)all_gather(std::byte{0}); }

  std::unique_ptr<SharedMemory> share_memory(size_t, std::string& why) override {
    why = "processes of torchrun have none";
    return nullptr;
  }
  std::unique_ptr<Communicator> communicator(AllReduceAlgorithm) override {
    throw Error(ErrorKind::usage, "processes of torchrun reduce nothing on CPUs",
                "use mpirun, or --device cuda");
  }
  bool trains_on_cpus() const override { return false; }

  void set_timeout(double seconds) override {
    policy_.timeout = std::chrono::duration<double>(seconds);
  }
  void begin_step(int64_t) override {}

  // torchrun ends the others.
  [[noreturn]] void abort(int code) noexcept override {
    std::fflush(nullptr);
    _exit(code);
  }

 private:
  void connect(const Launch& launch, double timeout) {
    const std::string place = meeting_place();
    (void)setenv("NCCL_COMM_ID", place.c_str(), 1);
    group_ = make_device_group({.id = new_device_group_id(),
                                .first_rank = launch.rank,
                                .members = 1,
                                .world_size = launch.size,
                                .init_timeout = timeout,
                                .timeout = timeout,
                                .meeting_place = place});
    join();
    // Groups that are made later get ids of their own.
    (void)unsetenv("NCCL_COMM_ID");
  }

  // Before the ranks have met nobody but NCCL can compare their GPUs.
  void join() {
    try {
      communicator_ = group_->join(0);
    } catch (const Error& error) {
      if (std::string_view(error.what()).find("Duplicate GPU") == std::string_view::npos) throw;
      const Gpu& gpu = survey_gpus().gpus.at(gpu_);
      throw Error(ErrorKind::device,
                  fmt::format("rank {} takes {} ({}), and so does another rank", rank(), gpu.name,
                              gpu.uuid),
                  "start no more ranks on a machine than it has GPUs, each with a LOCAL_RANK of "
                  "its own");
    }
  }

  void find_machines() {
    const std::vector<std::string> names = all_gather_text(machine_name());
    std::vector<int> machines;
    for (const std::string& name : names) {
      machines.push_back(static_cast<int>(std::ranges::find(names, name) - names.begin()));
    }
    set_machines(machines);
  }

  // Floats that hold so many bytes; makes room for `parts` of that.
  size_t room_for(size_t bytes, int parts) {
    const size_t each = (bytes + sizeof(float) - 1) / sizeof(float);
    const size_t all = each * static_cast<size_t>(parts);
    if (scratch_.size() < all) scratch_ = DeviceArray<float>(all);
    return each;
  }
  float* part(int index, size_t floats) const {
    return scratch_.data() + static_cast<size_t>(index) * floats;
  }

  void upload(std::span<const std::byte> from, float* to) const {
    check(cudaMemcpyAsync(to, from.data(), from.size(), cudaMemcpyHostToDevice,
                          communicator_->stream()),
          "cudaMemcpyAsync");
  }
  void download(const float* from, std::span<std::byte> to) const {
    check(cudaMemcpyAsync(to.data(), from, to.size(), cudaMemcpyDeviceToHost,
                          communicator_->stream()),
          "cudaMemcpyAsync");
    check(cudaStreamSynchronize(communicator_->stream()), "cudaStreamSynchronize");
  }

  void wait() const {
    wait_until(
        policy_,
        [&] {
          communicator_->check();
          const cudaError_t state = cudaStreamQuery(communicator_->stream());
          if (state == cudaErrorNotReady) return false;
          check(state, "what processes tell each other");
          return true;
        },
        [&](double waited, const std::string& reason) {
          throw Error(ErrorKind::communication,
                      fmt::format("{} waited {:.1f} s to meet{}", describe(rank()), waited,
                                  reason.empty() ? " with " + silent_ranks() : ": " + reason),
                      "a rank that is slow rather than stuck needs a longer --comm-timeout");
        });
    communicator_->check();  // an abort ends what is queued
  }

  int gpu_;
  WaitPolicy policy_;
  DeviceArray<float> scratch_;  // freed when nothing is under way: a free waits for the device
  std::unique_ptr<DeviceGroup> group_;
  OwnedDeviceCommunicator communicator_;
};

}  // namespace

std::unique_ptr<ProcessGroup> join_by_nccl(const Launch& launch, const JoinOptions& options) {
  return std::make_unique<NcclProcesses>(launch, options);
}

}  // namespace lockstep
