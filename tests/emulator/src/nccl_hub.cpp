#include "nccl_hub.h"

#include <algorithm>

#include "settings.h"

namespace lockstep::emulator {

std::string name_of(Collective kind) {
  constexpr const char* kNames[] = {"all-reduce", "reduce", "reduce-scatter", "all-gather",
                                    "broadcast",  "send",   "receive"};
  return kNames[static_cast<int>(kind)];
}

std::string describe(const Signature& s) {
  std::string text = name_of(s.kind) + " of " + std::to_string(s.count) + " " + name_of(s.type);
  switch (s.kind) {
    case Collective::all_reduce:
    case Collective::reduce_scatter: return text + ", " + name_of(s.op);
    case Collective::reduce: text += ", " + name_of(s.op); [[fallthrough]];
    case Collective::broadcast: return text + ", root " + std::to_string(s.peer);
    case Collective::send: return text + " to rank " + std::to_string(s.peer);
    case Collective::receive: return text + " from rank " + std::to_string(s.peer);
    case Collective::all_gather: break;
  }
  return text;
}

namespace {

bool same(const Signature& a, const Signature& b) {
  return a.kind == b.kind && a.type == b.type && a.op == b.op && a.peer == b.peer &&
         a.count == b.count;
}

// What each rank gets of the data that all handed in, and whose tokens with it.
Answer share_of(std::size_t rank, const std::vector<const char*>& data, const Signature& s,
                const Bytes& reduced) {
  const std::size_t bytes = s.count * size_of(s.type);
  const bool is_root = static_cast<int>(rank) == s.peer;
  Answer answer;
  switch (s.kind) {
    case Collective::all_reduce: answer.data = reduced; break;
    case Collective::reduce:
      if (is_root) answer.data = reduced;
      break;
    case Collective::reduce_scatter: {
      const char* mine = reduced.data() + rank * bytes;
      answer.data.assign(mine, mine + bytes);
      break;
    }
    case Collective::all_gather:
      for (const char* part : data) answer.data.insert(answer.data.end(), part, part + bytes);
      break;
    case Collective::broadcast: {
      const char* root = data[static_cast<std::size_t>(s.peer)];
      answer.data.assign(root, root + bytes);
      break;
    }
    case Collective::send:
    case Collective::receive: break;
  }
  return answer;
}

bool reduces(Collective kind) {
  return kind == Collective::all_reduce || kind == Collective::reduce ||
         kind == Collective::reduce_scatter;
}

}  // namespace

bool Hub::join(const Hello& hello, Member& member) {
  const std::lock_guard lock(mutex_);
  if (size_ == 0) {
    size_ = hello.size;
    hellos_.assign(static_cast<std::size_t>(size_), {-1, 0, 0, 0, false});
    members_.assign(static_cast<std::size_t>(size_), nullptr);
    collectives_.resize(static_cast<std::size_t>(size_));
  }
  const auto rank = static_cast<std::size_t>(hello.rank);
  std::string problem;
  if (refused_) {
    problem = "the communicator of this unique id could not be made";
  } else if (hello.size != size_) {
    problem = "rank " + std::to_string(hello.rank) + " says that there are " +
              std::to_string(hello.size) + " ranks, another says " + std::to_string(size_);
  } else if (hellos_[rank].rank >= 0) {
    problem = "rank " + std::to_string(hello.rank) + " has already checked in";
  }
  if (!problem.empty()) {
    member.joined(ncclInternalError, problem);
    refuse(ncclInternalError, problem);
    return false;
  }
  hellos_[rank] = hello;
  members_[rank] = &member;
  if (++arrived_ == size_) check_devices();
  return true;
}

void Hub::refuse(ncclResult_t result, const std::string& message) {
  refused_ = true;
  for (Member* member : members_) {
    if (member) member->joined(result, message);
  }
}

void Hub::check_devices() {
  for (std::size_t a = 0; a < hellos_.size(); ++a) {
    for (std::size_t b = a + 1; b < hellos_.size(); ++b) {
      if (hellos_[a].host != hellos_[b].host || hellos_[a].device != hellos_[b].device) continue;
      if (hellos_[a].shares_device && hellos_[b].shares_device) continue;
      refuse(ncclInvalidUsage, "Duplicate GPU detected : rank " + std::to_string(a) + " and rank " +
                                   std::to_string(b) + " both on CUDA device " +
                                   std::to_string(hellos_[a].device));
      return;
    }
  }
  for (Member* member : members_) {
    if (member) member->joined(ncclSuccess, "");
  }
}

void Hub::submit(int rank, std::uint64_t id, Request request) {
  const std::lock_guard lock(mutex_);
  const Signature& s = request.signature;
  switch (s.kind) {
    case Collective::send: {
      const Route route{rank, s.peer};
      sends_[route].push_back({id, std::move(request)});
      match_transfer(route);
      break;
    }
    case Collective::receive: {
      const Route route{s.peer, rank};
      receives_[route].push_back({id, std::move(request)});
      match_transfer(route);
      break;
    }
    default:
      collectives_[static_cast<std::size_t>(rank)].push_back({id, std::move(request)});
      match_collectives();
  }
}

void Hub::match_collectives() {
  const auto waits = [](const auto& queue) { return !queue.empty(); };
  while (std::all_of(collectives_.begin(), collectives_.end(), waits)) {
    std::vector<Pending> ranks;
    for (auto& queue : collectives_) {
      ranks.push_back(std::move(queue.front()));
      queue.pop_front();
    }
    complete(ranks);
  }
}

void Hub::complete(std::vector<Pending>& ranks) {
  const Signature& first = ranks[0].request.signature;
  for (std::size_t rank = 1; rank < ranks.size(); ++rank) {
    const Signature& other = ranks[rank].request.signature;
    if (same(first, other)) continue;
    const Answer mismatch{.result = ncclInvalidUsage,
                          .message = "ranks disagree: rank 0 calls " + describe(first) + "; rank " +
                                     std::to_string(rank) + " " + describe(other),
                          .data = {},
                          .tokens = {},
                          .start = {}};
    for (std::size_t r = 0; r < ranks.size(); ++r) {
      reply(static_cast<int>(r), ranks[r].id, mismatch);
    }
    return;
  }
  std::vector<const char*> data;
  VirtualTime start{};
  for (const Pending& pending : ranks) {
    data.push_back(pending.request.data.data());
    start = std::max(start, pending.request.arrived);
  }
  Bytes reduced;
  if (reduces(first.kind)) {
    const std::size_t parts = first.kind == Collective::reduce_scatter ? ranks.size() : 1;
    reduced = reduce(data, first.count * parts, first.type, first.op,
                     settings().seed * 0x9e3779b97f4a7c15U + matched_);
  }
  ++matched_;
  for (std::size_t rank = 0; rank < ranks.size(); ++rank) {
    Answer answer = share_of(rank, data, first, reduced);
    answer.start = start;
    if (first.kind == Collective::broadcast) {
      answer.tokens.push_back(ranks[static_cast<std::size_t>(first.peer)].request.token);
    } else if (!answer.data.empty()) {
      for (const Pending& pending : ranks) answer.tokens.push_back(pending.request.token);
    }
    reply(static_cast<int>(rank), ranks[rank].id, std::move(answer));
  }
}

void Hub::match_transfer(Route route) {
  auto& sends = sends_[route];
  auto& receives = receives_[route];
  while (!sends.empty() && !receives.empty()) {
    Pending send = std::move(sends.front());
    const Pending receive = std::move(receives.front());
    sends.pop_front();
    receives.pop_front();
    const Signature& from = send.request.signature;
    const Signature& to = receive.request.signature;
    Answer sent, received;
    sent.start = received.start = std::max(send.request.arrived, receive.request.arrived);
    if (from.count * size_of(from.type) != to.count * size_of(to.type)) {
      sent.result = received.result = ncclInvalidUsage;
      sent.message = received.message = "ranks disagree: rank " + std::to_string(route.first) +
                                        " calls " + describe(from) + "; rank " +
                                        std::to_string(route.second) + " " + describe(to);
    } else {
      received.data = std::move(send.request.data);
      received.tokens = {send.request.token};
    }
    reply(route.first, send.id, std::move(sent));
    reply(route.second, receive.id, std::move(received));
  }
}

void Hub::reply(int rank, std::uint64_t id, Answer answer) {
  Member* member = members_[static_cast<std::size_t>(rank)];
  if (member) member->answer(id, std::move(answer));
}

void Hub::leave(int rank, bool died) {
  const std::lock_guard lock(mutex_);
  members_[static_cast<std::size_t>(rank)] = nullptr;
  if (!died) return;
  for (Member* member : members_) {
    if (member) member->lost("the process of rank " + std::to_string(rank) + " has ended");
  }
}

}  // namespace lockstep::emulator
