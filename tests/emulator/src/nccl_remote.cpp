#include "nccl_remote.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "nccl_channel.h"
#include "nccl_error.h"

namespace lockstep::emulator {

namespace {

struct HelloPayload {
  std::uint64_t magic;
  std::uint64_t key;
  Hello hello;
};

template <class Head>
Bytes with_head(const Head& head, const char* data, std::size_t bytes) {
  Bytes payload(sizeof head + bytes);
  std::memcpy(payload.data(), &head, sizeof head);
  if (bytes > 0) std::memcpy(payload.data() + sizeof head, data, bytes);
  return payload;
}

// False where it is too short.
template <class Head>
bool take_head(Head& head, Bytes& payload) {
  if (payload.size() < sizeof head) return false;
  std::memcpy(&head, payload.data(), sizeof head);
  payload.erase(payload.begin(), payload.begin() + sizeof head);
  return true;
}

struct RequestHead {
  Signature signature;
  VirtualTime arrived;
};

struct AnswerHead {
  ncclResult_t result;
  std::uint64_t message_bytes;
  VirtualTime start;
};

Frame answer_frame(FrameKind kind, std::uint64_t id, const Answer& answer) {
  Bytes words(answer.message.begin(), answer.message.end());
  words.insert(words.end(), answer.data.begin(), answer.data.end());
  const AnswerHead head{answer.result, answer.message.size(), answer.start};
  return {kind, id, with_head(head, words.data(), words.size())};
}

bool read_answer(Answer& answer, Bytes payload) {
  AnswerHead head{};
  if (!take_head(head, payload) || payload.size() < head.message_bytes) return false;
  const auto message_end = payload.begin() + static_cast<std::ptrdiff_t>(head.message_bytes);
  answer.result = head.result;
  answer.start = head.start;
  answer.message.assign(payload.begin(), message_end);
  answer.data.assign(message_end, payload.end());
  return true;
}

}  // namespace

// A rank of another process, beside the hub.
class RemoteMember : public Member, private Channel::Reader {
 public:
  RemoteMember(Hub& hub, const Address& address, int socket)
      : hub_(hub), address_(address), channel_(socket, *this) {
    channel_.start();
  }
  // After the channel's thread nobody reads `is_in_`.
  ~RemoteMember() override {
    channel_.post({FrameKind::goodbye, 0, {}});
    channel_.close();
    if (is_in_) hub_.leave(rank_, false);
  }

  void joined(ncclResult_t result, const std::string& message) override {
    channel_.post(answer_frame(FrameKind::joined, 0, {result, message, {}, {}, {}}));
  }
  void answer(std::uint64_t id, Answer answer) override {
    channel_.post(answer_frame(FrameKind::answer, id, answer));
  }
  void lost(const std::string& message) override {
    channel_.post(answer_frame(FrameKind::lost, 0, {ncclRemoteError, message, {}, {}, {}}));
  }

 private:
  bool read(Frame frame) override {
    switch (frame.kind) {
      case FrameKind::hello: {
        HelloPayload payload{};
        if (is_in_ || !take_head(payload, frame.payload) || payload.magic != address_.magic ||
            payload.key != address_.key) {
          return false;
        }
        rank_ = payload.hello.rank;
        is_in_ = hub_.join(payload.hello, *this);
        return true;
      }
      case FrameKind::request: {
        RequestHead head{};
        if (!is_in_ || !take_head(head, frame.payload)) return false;
        Request request{head.signature, std::move(frame.payload), nullptr, head.arrived};
        hub_.submit(rank_, frame.id, std::move(request));
        return true;
      }
      case FrameKind::goodbye: leave(false); return true;
      default: return false;
    }
  }
  void ended() override { leave(true); }

  void leave(bool died) {
    if (is_in_) hub_.leave(rank_, died);
    is_in_ = false;
  }

  Hub& hub_;
  Address address_;
  int rank_ = -1;
  bool is_in_ = false;
  Channel channel_;
};

Listener::Listener(Hub& hub, Address& address)
    : hub_(hub), address_(address), socket_(-1), wake_(eventfd(0, EFD_CLOEXEC)) {
  int port = address.port;
  socket_ = listen_at(address.host, port);
  if (socket_ < 0) {
    const std::string problem = std::strerror(errno);
    ::close(wake_);
    throw NcclFailure{ncclSystemError, "cannot listen at " + std::string(address.host) + ":" +
                                           std::to_string(address.port) + ": " + problem};
  }
  address.port = port;
  ++communication_thread_count();
  thread_ = std::thread([this] {
    const Quiet quiet;
    loop();
  });
}

Listener::~Listener() {
  const std::uint64_t one = 1;
  while (write(wake_, &one, sizeof one) < 0) {
  }
  thread_.join();
  --communication_thread_count();
  members_.clear();
  ::close(socket_);
  ::close(wake_);
}

void Listener::loop() {
  for (;;) {
    pollfd polled[2] = {{socket_, POLLIN, 0}, {wake_, POLLIN, 0}};
    if (poll(polled, 2, -1) < 0) continue;
    if (polled[1].revents != 0) return;
    const int accepted = accept4(socket_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (accepted >= 0) members_.push_back(std::make_unique<RemoteMember>(hub_, address_, accepted));
  }
}

namespace {

class RemoteLink : public Link, private Channel::Reader {
 public:
  RemoteLink(const Address& address, const Hello& hello, Member& member, int socket)
      : member_(member), channel_(socket, *this) {
    channel_.post({FrameKind::hello, 0,
                   with_head(HelloPayload{address.magic, address.key, hello}, nullptr, 0)});
    channel_.start();
  }
  void submit(std::uint64_t id, Request request) override {
    const RequestHead head{request.signature, request.arrived};
    channel_.post(
        {FrameKind::request, id, with_head(head, request.data.data(), request.data.size())});
  }
  void leave() override {
    channel_.post({FrameKind::goodbye, 0, {}});
    channel_.close();
  }

 private:
  bool read(Frame frame) override {
    if (frame.kind == FrameKind::goodbye) {
      is_over_ = true;
      return true;
    }
    Answer answer;
    if (!read_answer(answer, std::move(frame.payload))) return false;
    switch (frame.kind) {
      case FrameKind::joined: member_.joined(answer.result, answer.message); return true;
      case FrameKind::answer: member_.answer(frame.id, std::move(answer)); return true;
      case FrameKind::lost: member_.lost(answer.message); return true;
      default: return false;
    }
  }
  void ended() override {
    if (!is_over_) member_.lost("the process that made the unique id has ended");
  }

  Member& member_;
  bool is_over_ = false;
  Channel channel_;
};

}  // namespace

std::unique_ptr<Link> connect_remote(const Address& address, const Hello& hello, Member& member) {
  const int socket = connect_to(address.host, address.port);
  if (socket < 0) return nullptr;
  return std::make_unique<RemoteLink>(address, hello, member, socket);
}

}  // namespace lockstep::emulator
