#include "data/digest_cache.h"

#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>

#include "data/hash.h"
#include "lockstep/data.h"

namespace lockstep {
namespace {

std::filesystem::path path_of(const DigestKey& key) {
  return std::filesystem::path(data_folders("digests").front()) / key.hex();
}

std::string digest_of(const void* data, size_t bytes) {
  Hash hash(Hash::Kind::sha256);
  hash.add({static_cast<const std::byte*>(data), bytes});
  return hash.hex();
}

}  // namespace

void DigestKey::add_mapped(const std::string& path, const FeatureMatrix& features) {
  std::error_code error;
  const auto whole = std::filesystem::canonical(path, error);
  const auto time = std::filesystem::last_write_time(path, error).time_since_epoch();
  add_text(fmt::format("{}|{}|{}|{}|{}|{}", whole.string(), std::filesystem::file_size(path, error),
                       time.count(), features.rows, features.columns, bytes_of(features.type)));
}

void DigestKey::add_text(const std::string& text) {
  parts_ += text;
  parts_ += '\n';
}

void DigestKey::add_bytes(const void* data, size_t bytes) {
  add_text(digest_of(data, bytes));
}

std::string DigestKey::hex() const {
  return digest_of(parts_.data(), parts_.size());
}

std::optional<std::string> cached_digest(const DigestKey& key) {
  std::ifstream file(path_of(key));
  std::string digest;
  constexpr size_t kDigits = 64;
  return file >> digest && digest.size() == kDigits ? std::optional(digest) : std::nullopt;
}

void remember_digest(const DigestKey& key, const std::string& digest) {
  const auto path = path_of(key);
  std::error_code error;
  std::filesystem::create_directories(path.parent_path(), error);
  const std::string temporary = path.string() + fmt::format(".{}", getpid());
  if (std::ofstream file(temporary); !(file << digest << std::endl)) return;
  std::filesystem::rename(temporary, path, error);
}

}  // namespace lockstep
