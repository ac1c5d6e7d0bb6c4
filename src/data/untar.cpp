// The POSIX ustar format: blocks of 512 bytes; a header block names a member and gives its size in
// octal, its data follows in whole blocks; two zero blocks end the archive.
#include "data/untar.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <memory>
#include <optional>
#include <string_view>
#include <system_error>

#include "data/byte_stream.h"
#include "data/failure.h"
#include "lockstep/error.h"

namespace lockstep {
namespace {

constexpr size_t kBlock = 512;
using Block = std::array<char, kBlock>;

struct Member {
  std::string name;
  uint64_t size = 0;
};

std::string_view field(const Block& block, size_t offset, size_t length) {
  const std::string_view whole(block.data() + offset, length);
  return whole.substr(0, whole.find('\0'));
}

// Octal digits, blanks around them.
std::optional<uint64_t> octal(std::string_view text) {
  uint64_t value = 0;
  bool digits = false;
  for (char c : text) {
    if (c == ' ' && !digits) continue;
    if (c < '0' || c > '7') break;
    value = value * 8 + static_cast<uint64_t>(c - '0');
    digits = true;
  }
  return digits ? std::optional(value) : std::nullopt;
}

// The sum of the header's bytes, its checksum field counted as blanks.
uint64_t checksum(const Block& block) {
  constexpr size_t kBegin = 148, kEnd = 156;
  uint64_t sum = 0;
  for (size_t i = 0; i < kBlock; ++i) {
    sum += i >= kBegin && i < kEnd ? uint64_t{' '} : static_cast<uint8_t>(block[i]);
  }
  return sum;
}

// The next member; nothing at the archive's end.
std::optional<Member> next_member(ByteStream& stream) {
  Block block;
  const uint64_t offset = stream.offset();
  stream.read(std::as_writable_bytes(std::span(block)), "archive");
  if (std::all_of(block.begin(), block.end(), [](char c) { return c == '\0'; }))
    return std::nullopt;
  const auto sum = octal(field(block, 148, 8));
  const auto size = octal(field(block, 124, 12));
  if (!sum || !size || *sum != checksum(block)) {
    fail_at(stream.path(), fmt::format("decoded byte {}", offset), "expected a tar header",
            "fetch the archive again");
  }
  const std::string name(field(block, 0, 100));
  return Member{name.substr(name.rfind('/') + 1), *size};
}

struct CloseFile {
  void operator()(std::FILE* file) const { std::fclose(file); }
};

// Reads the member's data and the rest of its last block; without a target it is passed over.
void copy_member(ByteStream& stream, const Member& member, const std::string& target) {
  std::unique_ptr<std::FILE, CloseFile> file;
  if (!target.empty()) file.reset(std::fopen(target.c_str(), "wb"));
  bool written = target.empty() || file;
  std::array<std::byte, 64 * kBlock> chunk;
  for (uint64_t left = member.size; left > 0 && written;) {
    const size_t data = std::min<uint64_t>(left, chunk.size());
    const size_t blocks = (data + kBlock - 1) / kBlock * kBlock;
    stream.read(std::span(chunk).first(blocks), "archive");
    if (file) written = std::fwrite(chunk.data(), 1, data, file.get()) == data;
    left -= data;
  }
  if (written && file) written = std::fflush(file.get()) == 0;
  if (written) return;
  throw Error(ErrorKind::runtime,
              fmt::format("cannot write {}: {}", target, std::generic_category().message(errno)),
              "check the folder's permissions and the space left on its disk");
}

}  // namespace

void unpack_tar_gz(const std::string& archive, const std::vector<WantedMember>& wanted) {
  const auto stream = ByteStream::open(archive);
  std::vector<std::string> missing;
  missing.reserve(wanted.size());
  for (const WantedMember& member : wanted) missing.push_back(member.name);
  while (!missing.empty()) {
    const auto member = next_member(*stream);
    if (!member) {
      fail_at(archive, "", fmt::format("the archive lacks {}", missing.front()),
              "fetch the archive again");
    }
    const auto match = std::find_if(wanted.begin(), wanted.end(),
                                    [&](const WantedMember& w) { return w.name == member->name; });
    if (match == wanted.end() || member->size == 0) {
      copy_member(*stream, *member, "");
      continue;
    }
    if (member->size != match->size) {
      fail_at(archive, member->name,
              fmt::format("has {} bytes, expected {}", member->size, match->size),
              "fetch the archive again");
    }
    copy_member(*stream, *member, match->target);
    std::erase(missing, member->name);
  }
}

}  // namespace lockstep
