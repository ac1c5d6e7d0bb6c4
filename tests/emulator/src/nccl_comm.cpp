#include "nccl_comm.h"

#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "emulator/communication.h"
#include "nccl_channel.h"
#include "nccl_settings.h"
#include "settings.h"

namespace lockstep::emulator {

namespace {

std::uint64_t hash(const char* text) {
  std::uint64_t value = 0xcbf29ce484222325U;
  for (; *text; ++text) value = (value ^ static_cast<unsigned char>(*text)) * 0x100000001b3U;
  return value;
}

// Ranks of one machine are told by NCCL_HOSTID, where that is set.
std::uint64_t host_id() {
  const char* id = std::getenv("NCCL_HOSTID");
  if (id && *id) return hash(id);
  char name[256] = "";
  gethostname(name, sizeof name - 1);
  return hash(name);
}

bool shares_device() {
  const char* text = std::getenv("NCCL_MULTI_RANK_GPU_ENABLE");
  return text && std::string(text) == "1";
}

}  // namespace

Comm::Comm(int rank_, int size_, int device_, bool blocking_)
    : rank(rank_),
      size(size_),
      device(device_),
      blocking(blocking_),
      random_(settings().seed * 0x100000001b3U + 0x6e63636cU + static_cast<std::uint64_t>(rank_)) {}

void Comm::connect(const Address& address) {
  key_ = address.key;
  ncclResult_t injected = ncclSuccess;
  switch (nccl_settings().init.next(rank, injected)) {
    case Fate::fails: throw NcclFailure{injected, "an injected failure of the initialisation"};
    case Fate::never_arrives: wait_for_abort(); return;
    case Fate::normal: break;
  }
  const Hello hello{rank, size, host_id(), device, shares_device()};
  while (!link_ && pause(0)) {
    link_ = emulator::connect(address, hello, *this);
    if (!link_) pause(0.005);
  }
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return joined_ || aborted_ || error_ != ncclSuccess; });
  if (error_ != ncclSuccess) throw NcclFailure{error_, message_};
}

void Comm::later(std::function<void()> task, int max_delay_microseconds) {
  auto token = std::make_shared<char>();
  order_release(token.get());
  double delay = 0;
  {
    const std::lock_guard lock(mutex_);
    ++in_progress_;
    if (max_delay_microseconds > 0) {
      delay = 1e-6 * static_cast<double>(
                         random_.below(static_cast<std::uint64_t>(max_delay_microseconds) + 1));
    }
  }
  if (!background_) {
    background_ = std::make_unique<Worker>();
    ++communication_thread_count();
  }
  background_->push(
      [this, delay, token = std::move(token), task = std::move(task), called = virtual_now()] {
        order_acquire(token.get());
        reach(called);
        try {
          if (pause(delay)) task();
        } catch (const NcclFailure& failure) {
          fail(failure.result, failure.message);
        } catch (const Failure& failure) {
          fail(ncclUnhandledCudaError, words_of(failure));
        }
        const std::lock_guard lock(mutex_);
        --in_progress_;
      });
}

bool Comm::at_once() {
  const std::lock_guard lock(mutex_);
  const auto dice = random_.below(4);
  return !settings().one_at_a_time && (dice == 0 || nccl_settings().late_enqueue <= 0);
}

ncclResult_t Comm::state() const {
  const std::lock_guard lock(mutex_);
  if (error_ != ncclSuccess) return error_;
  return in_progress_ > 0 ? ncclInProgress : ncclSuccess;
}

std::string Comm::message() const {
  const std::lock_guard lock(mutex_);
  return message_;
}

void Comm::fail(ncclResult_t error, const std::string& message) {
  {
    const std::lock_guard lock(mutex_);
    if (error_ != ncclSuccess || aborted_) return;
    error_ = error;
    message_ = message;
    changed_.notify_all();
  }
  note_nccl_error(message);
  std::fprintf(stderr, "emulator: NCCL rank %d of %d: %s: %s\n", rank, size,
               ncclGetErrorString(error), message.c_str());
}

void Comm::require_ready() const {
  const std::lock_guard lock(mutex_);
  require_nccl(error_ == ncclSuccess, error_, message_);
  require_nccl(in_progress_ == 0, ncclInvalidArgument,
               "the communicator is used before its last call has returned ncclSuccess");
  require_nccl(!finalized_, ncclInvalidArgument, "the communicator is used after its end");
}

void Comm::expect() {
  const std::lock_guard lock(mutex_);
  ++pending_;
}

void Comm::finished() {
  const std::lock_guard lock(mutex_);
  --pending_;
  changed_.notify_all();
}

void Comm::finalize() {
  std::unique_lock lock(mutex_);
  finalized_ = true;
  changed_.wait(lock, [this] { return pending_ == 0 || aborted_; });
}

bool Comm::idle() const {
  const std::lock_guard lock(mutex_);
  return pending_ == 0 && in_progress_ == 0;
}

bool Comm::aborted() const {
  const std::lock_guard lock(mutex_);
  return aborted_;
}

void Comm::abort() {
  {
    std::unique_lock lock(mutex_);
    aborted_ = true;
    changed_.notify_all();
    changed_.wait(lock, [this] { return running_ == 0; });
  }
  if (background_) {
    background_.reset();
    --communication_thread_count();
  }
  if (link_) link_->leave();
  link_.reset();
}

void Comm::joined(ncclResult_t result, const std::string& message) {
  if (result != ncclSuccess) {
    fail(result, message);
    return;
  }
  const std::lock_guard lock(mutex_);
  joined_ = true;
  changed_.notify_all();
}

void Comm::lost(const std::string& message) {
  fail(ncclRemoteError, message);
}

void* Comm::add_registration() {
  const std::lock_guard lock(mutex_);
  auto* registration = reinterpret_cast<void*>(++registrations_made_);
  registrations_.insert(registration);
  return registration;
}

void Comm::remove_registration(void* registration) {
  const std::lock_guard lock(mutex_);
  require_nccl(registrations_.erase(registration) == 1, ncclInvalidArgument,
               "there is no such registration");
}

bool Comm::has_registrations() const {
  const std::lock_guard lock(mutex_);
  return !registrations_.empty();
}

bool Comm::pause(double seconds) {
  std::unique_lock lock(mutex_);
  if (seconds > 0) {
    changed_.wait_for(lock, std::chrono::duration<double>(seconds), [this] { return aborted_; });
  }
  return !aborted_;
}

void Comm::wait_for_abort() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return aborted_; });
}

namespace {

struct Comms {
  std::mutex mutex;
  std::map<ncclComm_t, std::shared_ptr<Comm>> all;
  std::uintptr_t made = 0;
};

Comms& comms() {
  static auto* instance = new Comms;
  return *instance;
}

}  // namespace

std::shared_ptr<Comm> find_comm(ncclComm_t handle) {
  const std::lock_guard lock(comms().mutex);
  const auto it = comms().all.find(handle);
  return it == comms().all.end() ? nullptr : it->second;
}

std::shared_ptr<Comm> get_comm(ncclComm_t handle) {
  require_nccl(handle != nullptr, ncclInvalidArgument, "the communicator is null");
  auto comm = find_comm(handle);
  require_nccl(comm != nullptr, ncclInvalidArgument, "no such communicator: was it destroyed?");
  return comm;
}

ncclComm_t add_comm(std::shared_ptr<Comm> comm) {
  const std::lock_guard lock(comms().mutex);
  const auto handle = reinterpret_cast<ncclComm_t>(0x1000 + 16 * comms().made++);
  comms().all[handle] = std::move(comm);
  return handle;
}

void remove_comm(ncclComm_t handle) {
  const std::lock_guard lock(comms().mutex);
  comms().all.erase(handle);
}

std::vector<std::shared_ptr<Comm>> all_comms() {
  const std::lock_guard lock(comms().mutex);
  std::vector<std::shared_ptr<Comm>> all;
  for (const auto& [handle, comm] : comms().all) all.push_back(comm);
  return all;
}

void reset_communication() {
  for (const auto& comm : all_comms()) comm->abort();
  {
    const std::lock_guard lock(comms().mutex);
    comms().all.clear();
  }
  close_all_hubs();
  nccl_settings().restore();
}

int communication_threads() {
  return communication_thread_count();
}

}  // namespace lockstep::emulator
