// A rank's way to the hub, in this process or in another.
#pragma once

#include <memory>
#include <string>

#include "nccl_hub.h"

namespace lockstep::emulator {

// REQUIRES Quiet. Members may be called as soon as it is made.
class Link {
 public:
  virtual ~Link() = default;
  virtual void submit(std::uint64_t id, Request request) = 0;
  // The last call: the member is not called any more once it returns.
  virtual void leave() = 0;
};

// What an ncclUniqueId holds.
struct Address {
  std::uint64_t magic;
  std::uint64_t key;  // of the hub in the process that made it
  bool named;         // from NCCL_COMM_ID: rank 0 makes the hub
  char host[64];
  std::int32_t port;
};

Address address_of(const ncclUniqueId& id);  // throws NcclFailure where it is none
ncclUniqueId make_unique_id();
// For communicators of this process alone.
ncclUniqueId make_local_unique_id();
// Throws NcclFailure where the port is taken.
void open_named_hub(Address address);
// Null where nobody is at the address, or not yet.
std::unique_ptr<Link> connect(const Address& address, const Hello& hello, Member& member);
void close_all_hubs();

}  // namespace lockstep::emulator
