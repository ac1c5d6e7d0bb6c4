#include "data/hash.h"

#include <fmt/format.h>
#include <openssl/evp.h>

#include "lockstep/error.h"

namespace lockstep {
namespace {

void check(bool ok) {
  if (!ok) throw Error(ErrorKind::runtime, "libcrypto cannot compute a digest");
}

}  // namespace

void Hash::Free::operator()(EVP_MD_CTX* context) const {
  EVP_MD_CTX_free(context);
}

Hash::Hash(Kind kind) : context_(EVP_MD_CTX_new()) {
  const EVP_MD* const algorithm = kind == Kind::sha256 ? EVP_sha256() : EVP_md5();
  check(context_ && EVP_DigestInit_ex(context_.get(), algorithm, nullptr) == 1);
}

void Hash::add(std::span<const std::byte> bytes) {
  check(EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()) == 1);
}

std::string Hash::hex() {
  unsigned char value[EVP_MAX_MD_SIZE];
  unsigned int length = 0;
  check(EVP_DigestFinal_ex(context_.get(), value, &length) == 1);
  std::string text;
  for (unsigned int i = 0; i < length; ++i) text += fmt::format("{:02x}", value[i]);
  return text;
}

}  // namespace lockstep
