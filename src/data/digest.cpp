#include "data/digest.h"

#include <algorithm>

#include "data/hash.h"

namespace lockstep {

BackgroundDigest::BackgroundDigest() : thread_([this] { run(); }) {}

BackgroundDigest::~BackgroundDigest() {
  stop(true);
}

void BackgroundDigest::add(std::span<const std::byte> bytes,
                           std::shared_ptr<const void> keep_alive) {
  if (bytes.empty()) return;
  added_ += bytes.size();
  {
    const std::lock_guard lock(mutex_);
    queue_.push_back({bytes, std::move(keep_alive)});
  }
  changed_.notify_one();
}

void BackgroundDigest::stop(bool drop) {
  {
    const std::lock_guard lock(mutex_);
    if (drop) queue_.clear();
    closed_ = true;
  }
  changed_.notify_one();
  if (thread_.joinable()) thread_.join();
}

std::string BackgroundDigest::hex() {
  stop(false);
  if (failure_) std::rethrow_exception(failure_);
  return hex_;
}

void BackgroundDigest::run() {
  try {
    Hash hash(Hash::Kind::sha256);
    for (;;) {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return closed_ || !queue_.empty(); });
      if (queue_.empty()) break;
      // In pieces, so that the destructor need not wait for a whole data set.
      constexpr size_t kPiece = size_t{1} << 22;
      Piece& front = queue_.front();
      const Piece piece{front.bytes.first(std::min(front.bytes.size(), kPiece)), front.keep_alive};
      front.bytes = front.bytes.subspan(piece.bytes.size());
      if (front.bytes.empty()) queue_.pop_front();
      lock.unlock();
      hash.add(piece.bytes);
    }
    hex_ = hash.hex();
  } catch (...) {
    failure_ = std::current_exception();
  }
}

}  // namespace lockstep
