// A socket between processes, with a thread that reads frames from it and writes those posted, so
// that a peer that does not read makes nobody wait.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <mutex>
#include <string>
#include <thread>

#include "nccl_reduce.h"

namespace lockstep::emulator {

enum class FrameKind : std::uint32_t {
  hello,    // to the hub: what follows is from this rank
  request,  // to the hub
  goodbye,  // either way: nothing follows, and that is no failure
  joined,   // from the hub
  answer,   // from the hub
  lost,     // from the hub
};

struct Frame {
  FrameKind kind;
  std::uint64_t id;
  Bytes payload;
};

// REQUIRES Quiet.
class Channel {
 public:
  // Called by the channel's thread.
  class Reader {
   public:
    virtual ~Reader() = default;
    virtual bool read(Frame frame) = 0;  // false: the peer is none of ours
    virtual void ended() = 0;            // the last call: the peer has closed
  };

  // Takes the socket.
  Channel(int socket, Reader& reader);
  ~Channel();
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;

  void start();
  void post(const Frame& frame);
  // Sends what was posted, as far as the peer takes it. No calls of the reader after it.
  void close();

 private:
  void loop();
  bool receive();
  bool send();
  bool has_work() const;
  void wake();

  int socket_;
  int wake_;
  Reader& reader_;
  Bytes incoming_;
  mutable std::mutex mutex_;
  std::deque<Bytes> outgoing_;
  std::size_t sent_ = 0;  // of the first
  std::atomic<bool> closing_ = false;
  std::thread thread_;
};

// Sockets. -1 where it cannot be, and then errno says why.
int listen_at(const char* host, int& port);  // port 0: sets the one that it gets
int connect_to(const char* host, int port);

// The IPv4 address of the first interface whose name begins so; that of loopback where none does.
std::string address_of_interface(const char* prefix);

// Threads of channels and of those that wait for them.
std::atomic<int>& communication_thread_count();

}  // namespace lockstep::emulator
