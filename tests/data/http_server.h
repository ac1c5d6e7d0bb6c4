// A small HTTP server on the loopback interface, for the tests of downloads.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace lockstep {

// How one path is served.
struct ServedFile {
  std::string body;
  int status = 200;             // other than 200: no body
  bool ranges = true;           // honours "Range: bytes=N-"
  size_t cut_after = SIZE_MAX;  // closes the connection after so many bytes of a response
};

// Serves one request a connection, one connection at a time, until it is destroyed.
class HttpServer {
 public:
  explicit HttpServer(std::map<std::string, ServedFile> files = {});
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  std::string url() const;  // "http://127.0.0.1:PORT"
  // The requests so far: "/path" or "/path from N".
  std::vector<std::string> requests() const;
  void serve(const std::string& path, ServedFile file);

 private:
  void run();
  void answer(int connection);

  mutable std::mutex mutex_;
  std::map<std::string, ServedFile> files_;
  std::vector<std::string> requests_;
  int listener_ = -1;
  uint16_t port_ = 0;
  std::thread thread_;
};

// A port on which nobody listens.
std::string dead_url();

}  // namespace lockstep
