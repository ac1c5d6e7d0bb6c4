// Unique ids, and the hubs that they name in this process.
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <map>

#include "nccl_error.h"
#include "nccl_link.h"

namespace lockstep::emulator {

namespace {

constexpr std::uint64_t kMagic = 0x4c6f636b4e43434cU;

struct Hubs {
  std::mutex mutex;
  std::map<std::uint64_t, std::shared_ptr<Hub>> all;  // by key
  std::uint64_t made = 0;
};

Hubs& hubs() {
  static auto* instance = new Hubs;
  return *instance;
}

// Members of this process. The last one's leave ends the hub.
class LocalLink : public Link {
 public:
  LocalLink(std::shared_ptr<Hub> hub, std::uint64_t key, const Hello& hello, Member& member)
      : hub_(std::move(hub)), key_(key), rank_(hello.rank), is_in_(hub_->join(hello, member)) {}
  void submit(std::uint64_t id, Request request) override {
    hub_->submit(rank_, id, std::move(request));
  }
  void leave() override {
    if (is_in_) hub_->leave(rank_, false);
    const std::lock_guard lock(hubs().mutex);
    if (hub_->empty()) hubs().all.erase(key_);
  }

 private:
  std::shared_ptr<Hub> hub_;
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

ncclUniqueId make_local_unique_id() {
  const std::lock_guard lock(hubs().mutex);
  Address address{};
  address.magic = kMagic;
  address.key = static_cast<std::uint64_t>(getpid()) << 32 | hubs().made++;
  hubs().all[address.key] = std::make_shared<Hub>();
  return to_id(address);
}

ncclUniqueId make_unique_id() {
  return make_local_unique_id();
}

void open_named_hub(const Address&) {}

std::unique_ptr<Link> connect(const Address& address, const Hello& hello, Member& member) {
  std::shared_ptr<Hub> hub;
  {
    const std::lock_guard lock(hubs().mutex);
    const auto it = hubs().all.find(address.key);
    if (it == hubs().all.end()) return nullptr;
    hub = it->second;
  }
  return std::make_unique<LocalLink>(std::move(hub), address.key, hello, member);
}

void close_all_hubs() {
  const std::lock_guard lock(hubs().mutex);
  hubs().all.clear();
}

int hub_threads() {
  return 0;
}

}  // namespace lockstep::emulator
