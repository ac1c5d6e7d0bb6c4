#include "data/checksum.h"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "data/byte_stream.h"
#include "lockstep/error.h"

namespace lockstep {
namespace {

class Digest {
 public:
  explicit Digest(const EVP_MD* kind) : context_(EVP_MD_CTX_new(), &EVP_MD_CTX_free) {
    ok_ = context_ && EVP_DigestInit_ex(context_.get(), kind, nullptr) == 1;
  }
  void add(std::span<const std::byte> bytes) {
    ok_ = ok_ && EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()) == 1;
  }
  std::string hex() {
    unsigned char value[EVP_MAX_MD_SIZE];
    unsigned int length = 0;
    if (!ok_ || EVP_DigestFinal_ex(context_.get(), value, &length) != 1) {
      throw Error(ErrorKind::runtime, "libcrypto cannot compute a checksum");
    }
    std::string text;
    for (unsigned int i = 0; i < length; ++i) text += fmt::format("{:02x}", value[i]);
    return text;
  }

 private:
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context_;
  bool ok_ = false;
};

std::string md5_of(const std::string& path) {
  Digest digest(EVP_md5());
  digest.add(MappedFile::open(path)->bytes());
  return digest.hex();
}

std::string sha256_of_content(const std::string& path, uint64_t size) {
  const auto stream = ByteStream::open(path);
  Digest digest(EVP_sha256());
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
