// The workers of one process as members of an NCCL group.
#include <fmt/core.h>

#include <atomic>
#include <cstring>
#include <vector>

#include "comm/device_group.h"
#include "comm/nccl_check.h"
#include "comm/nccl_communicator.h"
#include "comm/nccl_watchdog.h"

namespace lockstep {

namespace {

static_assert(sizeof(ncclUniqueId) == sizeof(DeviceGroupId));

class NcclGroup final : public DeviceGroup {
 public:
  explicit NcclGroup(DeviceGroupOptions options)
      : options_(std::move(options)),
        health_(options_.stopped),
        arrived_(static_cast<size_t>(options_.members)),
        watchdog_(health_, options_) {}

  OwnedDeviceCommunicator join(int member) override {
    using Clock = NcclCommunicator::Clock;
    const std::chrono::duration<double> patience(options_.init_timeout);
    const auto deadline = Clock::now() + std::chrono::duration_cast<Clock::duration>(patience);
    const int rank = options_.first_rank + member;
    arrived_[static_cast<size_t>(member)].store(true, std::memory_order_release);
    ncclUniqueId id;
    std::memcpy(&id, options_.id.data(), sizeof id);
    auto communicator =
        std::make_unique<NcclCommunicator>(rank, options_.world_size, health_, watchdog_);
    if (!communicator->connect(id, deadline)) {
      health_.fail(not_all_came(rank));
      health_.check();
    }
    return OwnedDeviceCommunicator(communicator.release());
  }

 private:
  Error not_all_came(int rank) const {
    std::string missing;
    for (size_t member = 0; member < arrived_.size(); ++member) {
      if (arrived_[member].load(std::memory_order_acquire)) continue;
      missing += fmt::format("{}{}", missing.empty() ? "rank " : ", ",
                             options_.first_rank + static_cast<int>(member));
    }
    if (missing.empty() && options_.members < options_.world_size) {
      missing = "ranks of other processes";
    }
    return {ErrorKind::communication,
            fmt::format("rank {} of {}: NCCL did not connect{} within {:.0f} s; {}", rank,
                        options_.world_size,
                        options_.meeting_place.empty() ? "" : " at " + options_.meeting_place,
                        options_.init_timeout,
                        missing.empty() ? "all ranks of this process had arrived"
                                        : missing + " did not arrive"),
            "check that every rank started; between machines NCCL_SOCKET_IFNAME (the interface) "
            "and the firewall; inside one /dev/shm (its size, in containers) and whether GPUs may "
            "reach each other (NCCL_P2P_DISABLE=1; ACS in the BIOS); NCCL_DEBUG=INFO says what it "
            "waits for; slow starts need a longer --init-timeout"};
  }

  DeviceGroupOptions options_;
  GroupHealth health_;
  std::vector<std::atomic<bool>> arrived_;
  NcclWatchdog watchdog_;
};

}  // namespace

void EndDeviceCommunicator::operator()(DeviceCommunicator* communicator) const {
  delete communicator;
}

DeviceGroupId new_device_group_id() {
  ncclUniqueId id;
  check_nccl(ncclGetUniqueId(&id), "ncclGetUniqueId");
  DeviceGroupId bytes;
  std::memcpy(bytes.data(), &id, sizeof id);
  return bytes;
}

std::unique_ptr<DeviceGroup> make_device_group(DeviceGroupOptions options) {
  return std::make_unique<NcclGroup>(std::move(options));
}

std::string nccl_version() {
  int version = 0;
  check_nccl(ncclGetVersion(&version), "ncclGetVersion");
  return fmt::format("{}.{}.{}", version / 10000, version / 100 % 100, version % 100);
}

}  // namespace lockstep
