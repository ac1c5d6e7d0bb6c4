// The API of communicators: how they begin, what they say of themselves, and how they end.
#include "device.h"
#include "nccl_group.h"

using namespace lockstep::emulator;

ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
  return nccl_api([&] {
    require_nccl(id != nullptr, ncclInvalidArgument, "the unique id is null");
    *id = make_unique_id();
    return ncclSuccess;
  });
}

namespace {

ncclResult_t init(ncclComm_t* comm, int size, const ncclUniqueId& id, int rank, bool blocking) {
  require_nccl(comm != nullptr, ncclInvalidArgument, "the communicator's place is null");
  *comm = nullptr;
  require_nccl(size > 0 && rank >= 0 && rank < size, ncclInvalidArgument,
               "Invalid rank requested : " + std::to_string(rank) + "/" + std::to_string(size));
  const Address address = address_of(id);
  const Device& device = runtime().current();
  require(device.sticky_error() == cudaSuccess, device.sticky_error());
  if (address.named && rank == 0) open_named_hub(address);
  return add_to_group(
      {{std::make_shared<Comm>(rank, size, device.ordinal(), blocking), address, comm}});
}

}  // namespace

ncclResult_t ncclCommInitRank(ncclComm_t* comm, int size, ncclUniqueId id, int rank) {
  return nccl_group_api([&] { return init(comm, size, id, rank, true); });
}

ncclResult_t ncclCommInitRankConfig(ncclComm_t* comm, int size, ncclUniqueId id, int rank,
                                    ncclConfig_t* config) {
  return nccl_group_api([&] {
    constexpr ncclConfig_t kDefault = NCCL_CONFIG_INITIALIZER;
    bool blocking = true;
    if (config) {
      require_nccl(config->magic == kDefault.magic && config->size == kDefault.size,
                   ncclInvalidArgument, "the configuration lacks NCCL_CONFIG_INITIALIZER");
      require_nccl(config->blocking == NCCL_CONFIG_UNDEF_INT || config->blocking == 0 ||
                       config->blocking == 1,
                   ncclInvalidArgument, "the configuration's `blocking` is neither 0 nor 1");
      blocking = config->blocking != 0;
    }
    return init(comm, size, id, rank, blocking);
  });
}

ncclResult_t ncclCommInitAll(ncclComm_t* comms, int count, const int* devices) {
  return nccl_api([&] {
    require_nccl(comms != nullptr && count > 0, ncclInvalidArgument,
                 "there is no place for communicators");
    const ncclUniqueId id = make_local_unique_id();
    std::vector<Initialisation> all;
    for (int rank = 0; rank < count; ++rank) {
      const Device& device = runtime().device(devices ? devices[rank] : rank);
      require(device.sticky_error() == cudaSuccess, device.sticky_error());
      all.push_back({std::make_shared<Comm>(rank, count, device.ordinal(), true), address_of(id),
                     comms + rank});
    }
    return add_to_group(std::move(all));
  });
}

// The memory of a communicator's operations is in use while they are in streams: those are waited
// for first, or it is aborted.
ncclResult_t ncclCommDestroy(ncclComm_t comm) {
  return nccl_api([&] {
    const auto ending = get_comm(comm);
    require_nccl(ending->idle(), ncclInvalidUsage,
                 "the communicator is destroyed with operations pending");
    require_nccl(!ending->has_registrations(), ncclInvalidUsage,
                 "the communicator is destroyed with buffers registered");
    remove_comm(comm);
    ending->abort();
    return ncclSuccess;
  });
}

ncclResult_t ncclCommFinalize(ncclComm_t comm) {
  return nccl_api([&] {
    const auto ending = get_comm(comm);
    ending->require_ready();
    if (ending->blocking) {
      ending->finalize();
      return ncclSuccess;
    }
    ending->later([raw = ending.get()] { raw->finalize(); }, 0);
    return ncclInProgress;
  });
}

ncclResult_t ncclCommAbort(ncclComm_t comm) {
  return nccl_api([&] {
    const auto ending = get_comm(comm);
    remove_comm(comm);
    ending->abort();
    return ncclSuccess;
  });
}

ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t* error) {
  return nccl_api([&] {
    require_nccl(error != nullptr, ncclInvalidArgument, "the error's place is null");
    *error = get_comm(comm)->state();
    return ncclSuccess;
  });
}

namespace {

ncclResult_t ask(ncclComm_t comm, int* value, const int Comm::*member) {
  return nccl_api([&] {
    require_nccl(value != nullptr, ncclInvalidArgument, "the value's place is null");
    const auto asked = get_comm(comm);
    asked->require_ready();
    *value = (*asked).*member;
    return ncclSuccess;
  });
}

}  // namespace

ncclResult_t ncclCommCount(ncclComm_t comm, int* count) {
  return ask(comm, count, &Comm::size);
}

ncclResult_t ncclCommUserRank(ncclComm_t comm, int* rank) {
  return ask(comm, rank, &Comm::rank);
}

ncclResult_t ncclCommCuDevice(ncclComm_t comm, int* device) {
  return ask(comm, device, &Comm::device);
}
