#include "data/digest.h"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <algorithm>
#include <memory>

#include "lockstep/error.h"

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
  if (!ok_) throw Error(ErrorKind::runtime, "libcrypto cannot compute SHA-256");
  return hex_;
}

void BackgroundDigest::run() {
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(),
                                                                        &EVP_MD_CTX_free);
  bool ok = context && EVP_DigestInit_ex(context.get(), EVP_sha256(), nullptr) == 1;
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
    ok = ok && EVP_DigestUpdate(context.get(), piece.bytes.data(), piece.bytes.size()) == 1;
  }
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int length = 0;
  ok_ = ok && EVP_DigestFinal_ex(context.get(), digest, &length) == 1;
  for (unsigned int i = 0; i < length; ++i) hex_ += fmt::format("{:02x}", digest[i]);
}

}  // namespace lockstep
