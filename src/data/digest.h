// SHA-256 of a data set, computed on a thread of its own beside the load.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <thread>

namespace lockstep {

// Hashes bytes in the order in which they are added. They must not change until hex() returns;
// `keep_alive` owns them until they are hashed. One thread adds.
class BackgroundDigest {
 public:
  BackgroundDigest();
  ~BackgroundDigest();  // without hex(): what is left is not hashed
  BackgroundDigest(const BackgroundDigest&) = delete;
  BackgroundDigest& operator=(const BackgroundDigest&) = delete;

  void add(std::span<const std::byte> bytes, std::shared_ptr<const void> keep_alive);
  size_t added() const { return added_; }  // bytes

  // Waits for the end; 64 hexadecimal digits. Error{runtime} where libcrypto fails. Once only.
  std::string hex();

 private:
  void run();
  void stop(bool drop);

  struct Piece {
    std::span<const std::byte> bytes;
    std::shared_ptr<const void> keep_alive;
  };

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Piece> queue_;
  bool closed_ = false;
  size_t added_ = 0;
  std::string hex_;
  std::exception_ptr failure_;
  std::thread thread_;
};

}  // namespace lockstep
