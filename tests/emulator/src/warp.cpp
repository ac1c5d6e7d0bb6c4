#include "warp.h"

#include <algorithm>
#include <cstring>

#include "emulator/control.h"
#include "group.h"
#include "mutation.h"
#include "sanitizer.h"

namespace lockstep::emulator {

Warp::Warp(Thread* first, unsigned lanes)
    : first_(first), alive_(lanes == 32 ? 0xffffffffU : (1U << lanes) - 1) {}

Exchange& Warp::meet(Thread& thread, unsigned mask, const char* what, Site site, const void* data,
                     std::size_t bytes, bool ordered) {
  const unsigned lane = thread.lane();
  if ((mask >> lane & 1U) == 0) {
    thread.group().fail(
        thread, std::string("calls ") + what + " with a mask that lacks its own lane", site);
  }
  thread.group().count_steps(1);
  Exchange& exchange = join(mask, what, site);
  if (bytes > 0) std::memcpy(exchange.data[lane], data, bytes);
  exchange.arrived |= 1U << lane;
  if (ordered) order_release(&exchange);
  if (complete(exchange)) {
    finish(exchange, &thread);
  } else {
    thread.group().suspend(thread, {.what = what, .site = site, .mask = mask});
  }
  if (ordered) order_acquire(&exchange);
  return exchange;
}

void Warp::done(Exchange& exchange) {
  if (--exchange.readers > 0) return;
  const auto it = std::find_if(open_.begin(), open_.end(),
                               [&](const Owned& open) { return open.get() == &exchange; });
  // An address that was ordered by once would go on ordering: under ThreadSanitizer none is reused.
  if (!under_thread_sanitizer()) idle_.push_back(std::move(*it));
  open_.erase(it);
}

void Warp::leave(unsigned lane) {
  alive_ &= ~(1U << lane);
  for (const Owned& exchange : open_) {
    if (exchange->readers == 0 && complete(*exchange)) finish(*exchange, nullptr);
  }
}

Exchange& Warp::join(unsigned mask, const char* what, Site site) {
  for (const Owned& open : open_) {
    if (open->readers == 0 && open->mask == mask && std::strcmp(open->what, what) == 0 &&
        open->site.line == site.line && std::strcmp(open->site.file, site.file) == 0) {
      return *open;
    }
  }
  if (idle_.empty()) idle_.push_back(std::make_unique<Exchange>());
  open_.push_back(std::move(idle_.back()));
  idle_.pop_back();
  Exchange& exchange = *open_.back();
  exchange.mask = mask;
  exchange.what = what;
  exchange.site = site;
  exchange.arrived = 0;
  return exchange;
}

bool Warp::complete(const Exchange& exchange) const {
  return exchange.arrived == (exchange.mask & alive_);
}

void Warp::finish(Exchange& exchange, const Thread* except) {
  exchange.readers = static_cast<unsigned>(__builtin_popcount(exchange.arrived));
  for (unsigned lane = 0; lane < 32; ++lane) {
    if (exchange.has(lane) && &first_[lane] != except) first_[lane].group().wake(first_[lane]);
  }
}

void warp_barrier(unsigned mask, Site site) {
  Thread& thread = running_thread(site);
  const Quiet quiet;
  if (mutation().left_out("__syncwarp", site)) return;
  Exchange& exchange = thread.warp().meet(thread, mask, "__syncwarp", site, nullptr, 0, true);
  thread.warp().done(exchange);
}

namespace {

constexpr std::uint64_t kUndefined = ~std::uint64_t{0};

// The lane that is read, as PTX's shfl.sync has it; the own lane where that is out of the segment.
unsigned source_lane(Shuffle kind, unsigned lane, unsigned operand, unsigned width) {
  const unsigned first = lane & ~(width - 1);
  const unsigned last = first + width - 1;
  switch (kind) {
    case Shuffle::index: return first | (operand & (width - 1));
    case Shuffle::up: return lane >= first + operand ? lane - operand : lane;
    case Shuffle::down: return lane + operand <= last ? lane + operand : lane;
    case Shuffle::exclusive_or: return (lane ^ operand) <= last ? lane ^ operand : lane;
  }
  return lane;
}

const char* name(Shuffle kind) {
  switch (kind) {
    case Shuffle::index: return "__shfl_sync";
    case Shuffle::up: return "__shfl_up_sync";
    case Shuffle::down: return "__shfl_down_sync";
    case Shuffle::exclusive_or: return "__shfl_xor_sync";
  }
  return "";
}

}  // namespace

std::uint64_t shuffle(Shuffle kind, unsigned mask, std::uint64_t value, unsigned operand, int width,
                      Site site) {
  Thread& thread = running_thread(site);
  const Quiet quiet;
  const unsigned source = source_lane(kind, thread.lane(), operand, static_cast<unsigned>(width));
  Exchange& exchange = thread.warp().meet(thread, mask, name(kind), site, &value, sizeof value);
  const std::uint64_t result =
      exchange.has(source) ? exchange.from<std::uint64_t>(source) : kUndefined;
  thread.warp().done(exchange);
  return result;
}

std::uint64_t vote(unsigned mask, bool predicate, Site site) {
  Thread& thread = running_thread(site);
  const Quiet quiet;
  Exchange& exchange =
      thread.warp().meet(thread, mask, "a vote", site, &predicate, sizeof predicate);
  std::uint64_t votes = 0;
  for (unsigned lane = 0; lane < 32; ++lane) {
    if (exchange.has(lane) && exchange.from<bool>(lane)) votes |= 1U << lane;
  }
  votes |= static_cast<std::uint64_t>(exchange.arrived) << 32;
  thread.warp().done(exchange);
  return votes;
}

}  // namespace lockstep::emulator
