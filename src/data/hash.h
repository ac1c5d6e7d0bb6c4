// Digests by libcrypto.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>

struct evp_md_ctx_st;  // OpenSSL's EVP_MD_CTX

namespace lockstep {

// One digest of bytes handed over piece by piece. Error{runtime} where libcrypto fails.
class Hash {
 public:
  enum class Kind { sha256, md5 };
  explicit Hash(Kind kind);

  void add(std::span<const std::byte> bytes);
  std::string hex();  // ends the digest

 private:
  struct Free {
    void operator()(evp_md_ctx_st* context) const;
  };
  std::unique_ptr<evp_md_ctx_st, Free> context_;
};

}  // namespace lockstep
