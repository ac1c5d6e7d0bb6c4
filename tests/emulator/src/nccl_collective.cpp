// The API of collectives, and of send and receive.
#include <cstdint>

#include "device.h"
#include "memory.h"
#include "nccl_group.h"

using namespace lockstep::emulator;

namespace {

// Device memory of the communicator's device, or pinned host memory.
void check_buffer(const Comm& comm, const void* pointer, std::size_t bytes, const char* what) {
  const std::string name = std::string("the ") + what + " buffer ";
  require_nccl(pointer != nullptr, ncclInvalidArgument, name + "is null");
  const auto allocation = memory().find(pointer);
  require_nccl(allocation.has_value(), ncclInvalidArgument, name + "is no device memory");
  require_nccl(!allocation->on_device || allocation->device->ordinal() == comm.device,
               ncclInvalidArgument,
               name + "is on device " + std::to_string(allocation->device->ordinal()) +
                   ", the communicator on " + std::to_string(comm.device));
  const auto offset =
      static_cast<std::size_t>(static_cast<const char*>(pointer) - allocation->begin);
  require_nccl(bytes <= allocation->bytes - offset, ncclInvalidArgument,
               name + "is shorter than the call says");
}

// A receive buffer that holds some of what is sent, at another place than in-place calls have it.
void check_overlap(const Operand& operand, const void* in_place) {
  if (operand.send_bytes == 0 || operand.receive_bytes == 0 || operand.send == in_place) return;
  const auto send = reinterpret_cast<std::uintptr_t>(operand.send);
  const auto receive = reinterpret_cast<std::uintptr_t>(operand.receive);
  require_nccl(send + operand.send_bytes <= receive || receive + operand.receive_bytes <= send,
               ncclInvalidUsage, "the buffers overlap, and are not those of an in-place call");
}

struct Buffers {
  const void* send;
  void* receive;
};

struct Sizes {
  std::size_t send, receive;  // elements; 0: the rank has none
};

Sizes sizes_of(const Signature& s, const Comm& comm) {
  const bool is_root = s.peer == comm.rank;
  const auto ranks = static_cast<std::size_t>(comm.size);
  switch (s.kind) {
    case Collective::all_reduce: return {s.count, s.count};
    case Collective::reduce: return {s.count, is_root ? s.count : 0};
    case Collective::reduce_scatter: return {s.count * ranks, s.count};
    case Collective::all_gather: return {s.count, s.count * ranks};
    case Collective::broadcast: return {is_root ? s.count : 0, s.count};
    case Collective::send: return {s.count, 0};
    case Collective::receive: return {0, s.count};
  }
  return {0, 0};
}

const void* in_place_send(const Operand& operand, const Comm& comm) {
  const auto rank = static_cast<std::size_t>(comm.rank);
  const auto* receive = static_cast<const char*>(operand.receive);
  switch (operand.signature.kind) {
    case Collective::all_gather: return receive + rank * operand.send_bytes;
    case Collective::reduce_scatter: return receive - rank * operand.receive_bytes;
    default: return receive;
  }
}

ncclResult_t call(Signature signature, Buffers buffers, ncclComm_t handle, cudaStream_t stream) {
  return nccl_group_api([&] {
    const auto comm = get_comm(handle);
    comm->require_ready();
    require_nccl(size_of(signature.type) > 0, ncclInvalidArgument,
                 "the emulator does not have " + name_of(signature.type));
    require_nccl(signature.op >= ncclSum && signature.op < ncclNumOps, ncclInvalidArgument,
                 "there is no " + name_of(signature.op));
    require_nccl(signature.peer >= 0 && signature.peer < comm->size, ncclInvalidArgument,
                 "there is no rank " + std::to_string(signature.peer));
    const bool transfers =
        signature.kind == Collective::send || signature.kind == Collective::receive;
    if (signature.count == 0 && !transfers) return ncclSuccess;
    const Sizes sizes = sizes_of(signature, *comm);
    const std::size_t width = size_of(signature.type);
    const Operand operand{signature, buffers.send, sizes.send * width, buffers.receive,
                          sizes.receive * width};
    if (sizes.send > 0) check_buffer(*comm, operand.send, operand.send_bytes, "send");
    if (sizes.receive > 0) check_buffer(*comm, operand.receive, operand.receive_bytes, "receive");
    check_overlap(operand, in_place_send(operand, *comm));
    return add_to_group(Call{comm, operand, stream});
  });
}

}  // namespace

ncclResult_t ncclAllReduce(const void* send, void* receive, std::size_t count, ncclDataType_t type,
                           ncclRedOp_t op, ncclComm_t comm, cudaStream_t stream) {
  return call({Collective::all_reduce, type, op, 0, count}, {send, receive}, comm, stream);
}

ncclResult_t ncclReduce(const void* send, void* receive, std::size_t count, ncclDataType_t type,
                        ncclRedOp_t op, int root, ncclComm_t comm, cudaStream_t stream) {
  return call({Collective::reduce, type, op, root, count}, {send, receive}, comm, stream);
}

ncclResult_t ncclReduceScatter(const void* send, void* receive, std::size_t receive_count,
                               ncclDataType_t type, ncclRedOp_t op, ncclComm_t comm,
                               cudaStream_t stream) {
  return call({Collective::reduce_scatter, type, op, 0, receive_count}, {send, receive}, comm,
              stream);
}

ncclResult_t ncclAllGather(const void* send, void* receive, std::size_t send_count,
                           ncclDataType_t type, ncclComm_t comm, cudaStream_t stream) {
  return call({Collective::all_gather, type, ncclSum, 0, send_count}, {send, receive}, comm,
              stream);
}

ncclResult_t ncclBroadcast(const void* send, void* receive, std::size_t count, ncclDataType_t type,
                           int root, ncclComm_t comm, cudaStream_t stream) {
  return call({Collective::broadcast, type, ncclSum, root, count}, {send, receive}, comm, stream);
}

ncclResult_t ncclBcast(void* buffer, std::size_t count, ncclDataType_t type, int root,
                       ncclComm_t comm, cudaStream_t stream) {
  return ncclBroadcast(buffer, buffer, count, type, root, comm, stream);
}

ncclResult_t ncclSend(const void* send, std::size_t count, ncclDataType_t type, int peer,
                      ncclComm_t comm, cudaStream_t stream) {
  return call({Collective::send, type, ncclSum, peer, count}, {send, nullptr}, comm, stream);
}

ncclResult_t ncclRecv(void* receive, std::size_t count, ncclDataType_t type, int peer,
                      ncclComm_t comm, cudaStream_t stream) {
  return call({Collective::receive, type, ncclSum, peer, count}, {nullptr, receive}, comm, stream);
}
