// Unique ids, and the hubs that they name in this process.
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>

#include "nccl_channel.h"
#include "nccl_error.h"
#include "nccl_remote.h"

namespace lockstep::emulator {

namespace {

constexpr std::uint64_t kMagic = 0x4c6f636b4e43434cU;

// A hub, and what lets other processes in.
struct Room {
  Hub hub;
  std::unique_ptr<Listener> listener;  // ends first
  int members_here = 0;                // guarded by the rooms' lock
};

struct Rooms {
  std::mutex mutex;
  std::map<std::uint64_t, std::shared_ptr<Room>> all;  // by key
  std::uint64_t made = 0;
};

Rooms& rooms() {
  static auto* instance = new Rooms;
  return *instance;
}

// The last one of this process closes the room.
class LocalLink : public Link {
 public:
  // REQUIRES that the member is counted already.
  LocalLink(std::shared_ptr<Room> room, std::uint64_t key, const Hello& hello, Member& member)
      : room_(std::move(room)),
        key_(key),
        rank_(hello.rank),
        is_in_(room_->hub.join(hello, member)) {}
  void submit(std::uint64_t id, Request request) override {
    room_->hub.submit(rank_, id, std::move(request));
  }
  void leave() override {
    if (is_in_) room_->hub.leave(rank_, false);
    {
      const std::lock_guard lock(rooms().mutex);
      if (--room_->members_here == 0) rooms().all.erase(key_);
    }
    room_.reset();
  }

 private:
  std::shared_ptr<Room> room_;
  std::uint64_t key_;
  int rank_;
  bool is_in_;
};

ncclUniqueId to_id(const Address& address) {
  ncclUniqueId id{};
  static_assert(sizeof(Address) <= sizeof id.internal);
  std::memcpy(id.internal, &address, sizeof address);
  return id;
}

}  // namespace

Address address_of(const ncclUniqueId& id) {
  Address address{};
  std::memcpy(&address, id.internal, sizeof address);
  require_nccl(address.magic == kMagic, ncclInvalidArgument,
               "the unique id was not made by ncclGetUniqueId");
  return address;
}

namespace {

Address new_address() {
  const std::lock_guard lock(rooms().mutex);
  Address address{};
  address.magic = kMagic;
  address.key = static_cast<std::uint64_t>(getpid()) << 32 | rooms().made++;
  return address;
}

void open_room(const Address& address, std::shared_ptr<Room> room) {
  const std::lock_guard lock(rooms().mutex);
  rooms().all[address.key] = std::move(room);
}

// "host:port" of NCCL_COMM_ID, of which all ranks make the same address.
Address named_address(const std::string& name) {
  const auto colon = name.rfind(':');
  Address address{};
  address.magic = kMagic;
  address.named = true;
  const bool valid = colon != std::string::npos && colon > 0 && colon < sizeof address.host;
  if (valid) {
    std::memcpy(address.host, name.data(), colon);
    address.port = std::atoi(name.c_str() + colon + 1);
  }
  require_nccl(valid && address.port > 0 && address.port < 65536, ncclInvalidArgument,
               "NCCL_COMM_ID is '" + name + "', not host:port");
  address.key = std::hash<std::string>()(name) | 1ULL << 63;
  return address;
}

}  // namespace

ncclUniqueId make_local_unique_id() {
  const Address address = new_address();
  open_room(address, std::make_shared<Room>());
  return to_id(address);
}

ncclUniqueId make_unique_id() {
  const char* name = std::getenv("NCCL_COMM_ID");
  if (name && *name) return to_id(named_address(name));
  Address address = new_address();
  const std::string host = address_of_interface(std::getenv("NCCL_SOCKET_IFNAME"));
  host.copy(address.host, sizeof address.host - 1);
  auto room = std::make_shared<Room>();
  room->listener = std::make_unique<Listener>(room->hub, address);
  open_room(address, std::move(room));
  return to_id(address);
}

void open_named_hub(Address address) {
  auto room = std::make_shared<Room>();
  room->listener = std::make_unique<Listener>(room->hub, address);
  open_room(address, std::move(room));
}

std::unique_ptr<Link> connect(const Address& address, const Hello& hello, Member& member) {
  std::shared_ptr<Room> room;
  {
    const std::lock_guard lock(rooms().mutex);
    const auto it = rooms().all.find(address.key);
    if (it != rooms().all.end()) {
      room = it->second;
      ++room->members_here;
    }
  }
  if (room) return std::make_unique<LocalLink>(std::move(room), address.key, hello, member);
  return address.port > 0 ? connect_remote(address, hello, member) : nullptr;
}

void close_all_hubs() {
  std::map<std::uint64_t, std::shared_ptr<Room>> closed;  // after the lock
  const std::lock_guard lock(rooms().mutex);
  closed.swap(rooms().all);
}

}  // namespace lockstep::emulator
