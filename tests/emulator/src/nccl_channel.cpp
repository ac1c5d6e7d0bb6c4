#include "nccl_channel.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "sanitizer.h"

namespace lockstep::emulator {

namespace {

constexpr int kFlushMilliseconds = 200;  // for a peer that reads nothing more
constexpr int kConnectMilliseconds = 500;
constexpr std::size_t kReadBytes = 1 << 16;

struct Header {
  FrameKind kind;
  std::uint32_t unused;
  std::uint64_t id;
  std::uint64_t bytes;
};

addrinfo* resolve(const char* host, int port) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (getaddrinfo(host, std::to_string(port).c_str(), &hints, &found) != 0) {
    errno = EHOSTUNREACH;
    return nullptr;
  }
  return found;
}

}  // namespace

std::atomic<int>& communication_thread_count() {
  static std::atomic<int> count = 0;
  return count;
}

Channel::Channel(int socket, Reader& reader)
    : socket_(socket), wake_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)), reader_(reader) {
  const int on = 1;
  setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

Channel::~Channel() {
  close();
  ::close(socket_);
  ::close(wake_);
}

void Channel::start() {
  ++communication_thread_count();
  thread_ = std::thread([this] {
    const Quiet quiet;
    loop();
  });
}

void Channel::wake() {
  const std::uint64_t one = 1;
  if (write(wake_, &one, sizeof one) < 0) return;  // full: it is awake
}

void Channel::post(const Frame& frame) {
  const Header header{frame.kind, 0, frame.id, frame.payload.size()};
  Bytes bytes(sizeof header + frame.payload.size());
  std::memcpy(bytes.data(), &header, sizeof header);
  if (!frame.payload.empty()) {
    std::memcpy(bytes.data() + sizeof header, frame.payload.data(), frame.payload.size());
  }
  {
    const std::lock_guard lock(mutex_);
    outgoing_.push_back(std::move(bytes));
  }
  wake();
}

void Channel::close() {
  closing_ = true;
  wake();
  if (!thread_.joinable()) return;
  thread_.join();
  --communication_thread_count();
}

bool Channel::has_work() const {
  const std::lock_guard lock(mutex_);
  return !outgoing_.empty();
}

void Channel::loop() {
  bool open = true;
  while (open) {
    const bool work = has_work();
    const bool closing = closing_;
    if (closing && !work) return;
    pollfd polled[2] = {
        {socket_, static_cast<short>((closing ? 0 : POLLIN) | (work ? POLLOUT : 0)), 0},
        {wake_, POLLIN, 0}};
    const int ready = poll(polled, 2, closing ? kFlushMilliseconds : -1);
    if (ready == 0) return;
    if (polled[1].revents != 0) {
      std::uint64_t count = 0;
      if (read(wake_, &count, sizeof count) < 0) continue;
    }
    if (polled[0].revents & POLLOUT) open = send();
    if (open && !closing && polled[0].revents & (POLLIN | POLLHUP | POLLERR)) open = receive();
    if (closing && polled[0].revents & (POLLHUP | POLLERR)) return;
  }
  if (!closing_) reader_.ended();
}

bool Channel::send() {
  const std::lock_guard lock(mutex_);
  while (!outgoing_.empty()) {
    const Bytes& first = outgoing_.front();
    const ssize_t bytes =
        ::send(socket_, first.data() + sent_, first.size() - sent_, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (bytes < 0) return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
    sent_ += static_cast<std::size_t>(bytes);
    if (sent_ < first.size()) continue;
    outgoing_.pop_front();
    sent_ = 0;
  }
  return true;
}

// False where the peer has closed, or is none of ours.
bool Channel::receive() {
  const std::size_t had = incoming_.size();
  incoming_.resize(had + kReadBytes);
  const ssize_t bytes = recv(socket_, incoming_.data() + had, kReadBytes, MSG_DONTWAIT);
  incoming_.resize(had + static_cast<std::size_t>(bytes > 0 ? bytes : 0));
  if (bytes == 0) return false;
  if (bytes < 0) return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
  std::size_t begin = 0;
  Header header;
  while (incoming_.size() - begin >= sizeof header) {
    std::memcpy(&header, incoming_.data() + begin, sizeof header);
    if (incoming_.size() - begin - sizeof header < header.bytes) break;
    const char* payload = incoming_.data() + begin + sizeof header;
    if (!reader_.read({header.kind, header.id, Bytes(payload, payload + header.bytes)})) {
      return false;
    }
    begin += sizeof header + header.bytes;
  }
  incoming_.erase(incoming_.begin(), incoming_.begin() + static_cast<std::ptrdiff_t>(begin));
  return true;
}

std::string address_of_interface(const char* prefix) {
  std::string found = "127.0.0.1";
  ifaddrs* all = nullptr;
  if (!prefix || getifaddrs(&all) != 0) return found;
  for (const ifaddrs* one = all; one; one = one->ifa_next) {
    if (!one->ifa_addr || one->ifa_addr->sa_family != AF_INET) continue;
    if (std::strncmp(one->ifa_name, prefix, std::strlen(prefix)) != 0) continue;
    char text[INET_ADDRSTRLEN];
    const auto& address = reinterpret_cast<const sockaddr_in&>(*one->ifa_addr);
    if (inet_ntop(AF_INET, &address.sin_addr, text, sizeof text)) found = text;
    break;
  }
  freeifaddrs(all);
  return found;
}

int listen_at(const char* host, int& port) {
  addrinfo* found = resolve(host, port);
  if (!found) return -1;
  const int made = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int on = 1;
  setsockopt(made, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  const bool bound = made >= 0 && bind(made, found->ai_addr, found->ai_addrlen) == 0 &&
                     listen(made, SOMAXCONN) == 0;
  const int error = errno;
  freeaddrinfo(found);
  if (!bound) {
    if (made >= 0) close(made);
    errno = error;
    return -1;
  }
  sockaddr_storage name{};
  socklen_t bytes = sizeof name;
  getsockname(made, reinterpret_cast<sockaddr*>(&name), &bytes);
  port = ntohs(name.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6&>(name).sin6_port
                                          : reinterpret_cast<sockaddr_in&>(name).sin_port);
  return made;
}

int connect_to(const char* host, int port) {
  addrinfo* found = resolve(host, port);
  if (!found) return -1;
  const int made = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  bool connected = made >= 0 && connect(made, found->ai_addr, found->ai_addrlen) == 0;
  freeaddrinfo(found);
  if (made >= 0 && !connected && errno == EINPROGRESS) {
    pollfd polled{made, POLLOUT, 0};
    int error = 0;
    socklen_t bytes = sizeof error;
    connected = poll(&polled, 1, kConnectMilliseconds) == 1 &&
                getsockopt(made, SOL_SOCKET, SO_ERROR, &error, &bytes) == 0 && error == 0;
  }
  if (connected) return made;
  if (made >= 0) close(made);
  return -1;
}

}  // namespace lockstep::emulator
