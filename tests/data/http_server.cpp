#include "http_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <stdexcept>

namespace lockstep {
namespace {

// A socket bound to a free port of the loopback interface.
int bind_loopback(uint16_t& port) {
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof(address);
  if (listener < 0 || bind(listener, reinterpret_cast<sockaddr*>(&address), length) != 0 ||
      getsockname(listener, reinterpret_cast<sockaddr*>(&address), &length) != 0) {
    throw std::runtime_error("cannot bind to the loopback interface");
  }
  port = ntohs(address.sin_port);
  return listener;
}

std::string url_of(uint16_t port) {
  return "http://127.0.0.1:" + std::to_string(port);
}

void send_all(int connection, std::string_view data) {
  while (!data.empty()) {
    const ssize_t sent = send(connection, data.data(), data.size(), MSG_NOSIGNAL);
    if (sent <= 0) return;
    data.remove_prefix(static_cast<size_t>(sent));
  }
}

std::string header(int status, size_t length, const std::string& extra) {
  return "HTTP/1.1 " + std::to_string(status) +
         " -\r\nConnection: close\r\nContent-Length: " + std::to_string(length) + "\r\n" + extra +
         "\r\n";
}

}  // namespace

HttpServer::HttpServer(std::map<std::string, ServedFile> files) : files_(std::move(files)) {
  listener_ = bind_loopback(port_);
  listen(listener_, 8);
  thread_ = std::thread([this] { run(); });
}

HttpServer::~HttpServer() {
  shutdown(listener_, SHUT_RDWR);  // wakes accept
  thread_.join();
  close(listener_);
}

std::string HttpServer::url() const {
  return url_of(port_);
}

std::vector<std::string> HttpServer::requests() const {
  const std::lock_guard lock(mutex_);
  return requests_;
}

void HttpServer::serve(const std::string& path, ServedFile file) {
  const std::lock_guard lock(mutex_);
  files_[path] = std::move(file);
}

void HttpServer::run() {
  for (;;) {
    const int connection = accept(listener_, nullptr, nullptr);
    if (connection < 0) return;
    answer(connection);
    close(connection);
  }
}

void HttpServer::answer(int connection) {
  std::string request(8192, '\0');
  const ssize_t length = recv(connection, request.data(), request.size(), 0);
  if (length <= 0) return;
  request.resize(static_cast<size_t>(length));
  const size_t path_begin = request.find(' ') + 1;
  const std::string path = request.substr(path_begin, request.find(' ', path_begin) - path_begin);
  const size_t range = request.find("Range: bytes=");
  const size_t from = range == std::string::npos ? 0 : std::stoul(request.substr(range + 13));

  const std::lock_guard lock(mutex_);
  requests_.push_back(from == 0 ? path : path + " from " + std::to_string(from));
  const auto found = files_.find(path);
  if (found == files_.end() || found->second.status != 200) {
    send_all(connection, header(found == files_.end() ? 404 : found->second.status, 0, ""));
    return;
  }
  const ServedFile& file = found->second;
  const bool partial = from > 0 && file.ranges;
  if (partial && from >= file.body.size()) {
    send_all(connection, header(416, 0, ""));
    return;
  }
  const std::string body = partial ? file.body.substr(from) : file.body;
  const std::string extra = partial ? "Content-Range: bytes " + std::to_string(from) + "-" +
                                          std::to_string(file.body.size() - 1) + "/" +
                                          std::to_string(file.body.size()) + "\r\n"
                                    : "";
  send_all(connection, header(partial ? 206 : 200, body.size(), extra));
  send_all(connection, std::string_view(body).substr(0, file.cut_after));
}

std::string dead_url() {
  uint16_t port = 0;
  close(bind_loopback(port));
  return url_of(port);
}

}  // namespace lockstep
