#include "nccl_settings.h"

#include <cstdlib>

#include "emulator/communication.h"
#include "sanitizer.h"

namespace lockstep::emulator {

namespace {

long environment(const char* name, long otherwise) {
  const char* text = std::getenv(name);
  return text && *text ? std::strtol(text, nullptr, 10) : otherwise;
}

void choose_by_environment(RankFault& fault, const char* fails, const char* holds,
                           ncclResult_t error) {
  const auto rank = static_cast<int>(environment("LOCKSTEP_EMULATOR_FAULT_RANK", -1));
  if (const long k = environment(fails, -1); k >= 0) fault.choose(Fate::fails, rank, k, error);
  if (const long k = environment(holds, -1); k >= 0) {
    fault.choose(Fate::never_arrives, rank, k, ncclSuccess);
  }
}

}  // namespace

void RankFault::choose(Fate fate, int rank, long k, ncclResult_t error) {
  const std::lock_guard lock(mutex_);
  fate_ = fate;
  rank_ = rank;
  remaining_ = k;
  error_ = error;
}

Fate RankFault::next(int rank, ncclResult_t& error) {
  const std::lock_guard lock(mutex_);
  if (remaining_ < 0 || (rank_ >= 0 && rank != rank_)) return Fate::normal;
  if (remaining_-- > 0) return Fate::normal;
  error = error_;
  return fate_;
}

NcclSettings::NcclSettings() {
  restore();
  choose_by_environment(collective, "LOCKSTEP_EMULATOR_FAIL_COLLECTIVE",
                        "LOCKSTEP_EMULATOR_HOLD_COLLECTIVE", ncclRemoteError);
  choose_by_environment(init, "LOCKSTEP_EMULATOR_FAIL_INIT", "LOCKSTEP_EMULATOR_HOLD_INIT",
                        ncclSystemError);
}

void NcclSettings::restore() {
  latency = static_cast<double>(environment("LOCKSTEP_EMULATOR_NCCL_LATENCY", 0)) * 1e-6;
  bytes_per_second = static_cast<double>(environment("LOCKSTEP_EMULATOR_NCCL_BANDWIDTH", 0)) * 1e6;
  late_enqueue = static_cast<int>(environment("LOCKSTEP_EMULATOR_NCCL_LATE", 200));
  collective.choose(Fate::normal, -1, -1, ncclSuccess);
  init.choose(Fate::normal, -1, -1, ncclSuccess);
  collectives_seen = 0;
}

NcclSettings& nccl_settings() {
  static auto* instance = new NcclSettings;
  return *instance;
}

void set_communication_cost(double latency, double bytes_per_second) {
  nccl_settings().latency = latency;
  nccl_settings().bytes_per_second = bytes_per_second;
}

void set_late_enqueue(int max_microseconds) {
  nccl_settings().late_enqueue = max_microseconds;
}

void fail_collective(int rank, long k, ncclResult_t error) {
  const Quiet quiet;
  nccl_settings().collective.choose(Fate::fails, rank, k, error);
}

void hold_collective(int rank, long k) {
  const Quiet quiet;
  nccl_settings().collective.choose(Fate::never_arrives, rank, k, ncclSuccess);
}

void fail_init(int rank, long k, ncclResult_t error) {
  const Quiet quiet;
  nccl_settings().init.choose(Fate::fails, rank, k, error);
}

void hold_init(int rank, long k) {
  const Quiet quiet;
  nccl_settings().init.choose(Fate::never_arrives, rank, k, ncclSuccess);
}

long collectives_seen() {
  return nccl_settings().collectives_seen;
}

}  // namespace lockstep::emulator
