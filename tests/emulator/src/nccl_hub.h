// Where the ranks of a communicator meet: requests go in, and answers come out once those of all
// ranks that take part are there. It lives in the process that made the unique id.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "nccl_reduce.h"
#include "virtual_time.h"

namespace lockstep::emulator {

enum class Collective { all_reduce, reduce, reduce_scatter, all_gather, broadcast, send, receive };

std::string name_of(Collective kind);

// Trivially copyable: it travels as it is.
struct Signature {
  Collective kind;
  ncclDataType_t type;
  ncclRedOp_t op;
  std::int32_t peer;    // root, or the other of send and receive; 0 where there is none
  std::uint64_t count;  // that of the call
};

std::string describe(const Signature& signature);

// Orders of ThreadSanitizer: what happened before a request, for those that get its data. Empty
// from another process.
using Token = std::shared_ptr<char>;

struct Request {
  Signature signature;
  Bytes data;
  Token token;
  VirtualTime arrived{};
};

struct Answer {
  ncclResult_t result = ncclSuccess;
  std::string message;
  Bytes data;
  std::vector<Token> tokens;
  VirtualTime start{};  // when the last rank had arrived
};

// Who a rank is. Trivially copyable.
struct Hello {
  std::int32_t rank;
  std::int32_t size;
  std::uint64_t host;
  std::int32_t device;
  bool shares_device;  // NCCL_MULTI_RANK_GPU_ENABLE
};

// A rank, as the hub sees it. Called under the hub's lock: it must not call the hub, nor wait.
class Member {
 public:
  virtual ~Member() = default;
  virtual void joined(ncclResult_t result, const std::string& message) = 0;
  virtual void answer(std::uint64_t id, Answer answer) = 0;
  virtual void lost(const std::string& message) = 0;  // a rank's process has ended
};

// Any thread; REQUIRES Quiet.
class Hub {
 public:
  // False where this rank is refused, which it then hears from joined(), as do the others.
  bool join(const Hello& hello, Member& member);
  void submit(int rank, std::uint64_t id, Request request);
  // The member is not called any more. `died`: without a word, which the others hear.
  void leave(int rank, bool died);

 private:
  struct Pending {
    std::uint64_t id;
    Request request;
  };
  using Route = std::pair<int, int>;  // from, to

  void refuse(ncclResult_t result, const std::string& message);
  void check_devices();
  void match_collectives();
  void match_transfer(Route route);
  void complete(std::vector<Pending>& ranks);
  void reply(int rank, std::uint64_t id, Answer answer);

  std::mutex mutex_;
  int size_ = 0;
  int arrived_ = 0;
  bool refused_ = false;
  std::uint64_t matched_ = 0;
  std::vector<Hello> hellos_;     // by rank; rank -1 where it has not come
  std::vector<Member*> members_;  // by rank; null where it has not come, or has left
  std::vector<std::deque<Pending>> collectives_;
  std::map<Route, std::deque<Pending>> sends_, receives_;
};

}  // namespace lockstep::emulator
