#include "data/checksum.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "data/byte_stream.h"
#include "data/hash.h"
#include "lockstep/error.h"

namespace lockstep {
namespace {

std::string md5_of(const std::string& path) {
  Hash digest(Hash::Kind::md5);
  digest.add(MappedFile::open(path)->bytes());
  return digest.hex();
}

std::string sha256_of_content(const std::string& path, uint64_t size) {
  const auto stream = ByteStream::open(path);
  Hash digest(Hash::Kind::sha256);
  std::vector<std::byte> chunk(size_t{1} << 20);
  for (uint64_t left = size; left > 0;) {
    const auto part = std::span(chunk).first(std::min<uint64_t>(left, chunk.size()));
    stream->read(part, "content");
    digest.add(part);
    left -= part.size();
  }
  stream->expect_end();
  return digest.hex();
}

}  // namespace

std::string check_file(const std::string& path, const Checksum& expected) {
  try {
    const bool md5 = expected.kind == Checksum::Kind::md5_of_file;
    const std::string found = md5 ? md5_of(path) : sha256_of_content(path, expected.content_size);
    if (found == expected.hex) return {};
    return fmt::format("{} is {}, expected {}", md5 ? "MD5" : "SHA-256 of the content", found,
                       expected.hex);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::data) throw;
    return error.what();
  }
}

}  // namespace lockstep
