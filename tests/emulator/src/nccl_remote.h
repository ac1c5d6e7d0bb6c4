// Ranks of other processes: what listens for them beside a hub, and their links to it.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "nccl_link.h"

namespace lockstep::emulator {

class RemoteMember;

// REQUIRES Quiet. Ends before the hub.
class Listener {
 public:
  // Throws NcclFailure where the port is taken; sets the address's port where that is 0.
  Listener(Hub& hub, Address& address);
  // The other processes' ranks hear that the hub is gone, which is no failure.
  ~Listener();
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

 private:
  void loop();

  Hub& hub_;
  const Address address_;
  int socket_;
  int wake_;
  std::vector<std::unique_ptr<RemoteMember>> members_;  // of the listener's thread, until it ends
  std::thread thread_;
};

// Null where nobody listens, or not yet.
std::unique_ptr<Link> connect_remote(const Address& address, const Hello& hello, Member& member);

}  // namespace lockstep::emulator
