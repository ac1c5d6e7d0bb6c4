// Tensor core operations of a warp, each lane computing its part of the result from what all
// brought. Products are exact and summed in float32, in order of k.
#include <bit>
#include <cmath>
#include <cstring>

#include "group.h"
#include "sanitizer.h"

namespace lockstep::emulator {

namespace {

constexpr unsigned kWarp = 0xffffffffU;

struct Operands {
  std::uint32_t a[4];
  std::uint32_t b[2];
};

Exchange& meet_all(Thread& thread, const char* what, Site site, const void* data,
                   std::size_t bytes) {
  Exchange& exchange = thread.warp().meet(thread, kWarp, what, site, data, bytes);
  if (exchange.arrived != kWarp) {
    thread.group().fail(thread, std::string(what) + " needs all 32 lanes of the warp", site);
  }
  return exchange;
}

// What a tensor core reads of a float32 register: the low 13 bits are cut off.
float tf32(std::uint32_t bits) {
  return std::bit_cast<float>(bits & 0xffffe000U);
}

float bf16(std::uint32_t pair, unsigned k) {
  return std::bit_cast<float>(k % 2 == 0 ? pair << 16 : pair & 0xffff0000U);
}

// Fragments of PTX's mma.m16n8k8 for tf32. A is 16 x 8 by rows, B 8 x 8 by columns.
struct Tf32 {
  static constexpr unsigned kDepth = 8;
  static float a(const Exchange& warp, unsigned row, unsigned k) {
    return tf32(warp.from<Operands>(row % 8 * 4 + k % 4).a[row / 8 + k / 4 * 2]);
  }
  static float b(const Exchange& warp, unsigned k, unsigned column) {
    return tf32(warp.from<Operands>(column * 4 + k % 4).b[k / 4]);
  }
};

// Of mma.m16n8k16 for bf16. A is 16 x 16, B 16 x 8; a register holds two neighbours in k.
struct Bf16 {
  static constexpr unsigned kDepth = 16;
  static float a(const Exchange& warp, unsigned row, unsigned k) {
    return bf16(warp.from<Operands>(row % 8 * 4 + k % 8 / 2).a[row / 8 + k / 8 * 2], k);
  }
  static float b(const Exchange& warp, unsigned k, unsigned column) {
    return bf16(warp.from<Operands>(column * 4 + k % 8 / 2).b[k / 8], k);
  }
};

template <class Format>
void multiply(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2],
              const float (&c)[4], const char* what, Site site) {
  Thread& thread = running_thread(site);
  const Quiet quiet;
  Operands operands;
  std::memcpy(operands.a, a, sizeof a);
  std::memcpy(operands.b, b, sizeof b);
  Exchange& exchange = meet_all(thread, what, site, &operands, sizeof operands);
  for (unsigned i = 0; i < 4; ++i) {
    const unsigned row = thread.lane() / 4 + i / 2 * 8;
    const unsigned column = thread.lane() % 4 * 2 + i % 2;
    float sum = c[i];
    for (unsigned k = 0; k < Format::kDepth; ++k) {
      sum = std::fma(Format::a(exchange, row, k), Format::b(exchange, k, column), sum);
    }
    d[i] = sum;
  }
  thread.warp().done(exchange);
}

}  // namespace

void mma_tf32(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2],
              const float (&c)[4], Site site) {
  multiply<Tf32>(d, a, b, c, "mma.m16n8k8 (tf32)", site);
}

void mma_bf16(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2],
              const float (&c)[4], Site site) {
  multiply<Bf16>(d, a, b, c, "mma.m16n8k16 (bf16)", site);
}

void load_matrices(std::uint32_t* registers, int count, bool transposed, const uint4& row,
                   Site site) {
  Thread& thread = running_thread(site);
  const Quiet quiet;
  Exchange& exchange = meet_all(thread, "ldmatrix", site, &row, sizeof row);
  const unsigned lane = thread.lane();
  // Lanes 8 m to 8 m + 7 named the rows of matrix m, each of eight 16-bit elements.
  const auto element = [&](int matrix, unsigned r, unsigned column) {
    using Row = std::uint16_t[8];
    return std::uint32_t{exchange.from<Row>(static_cast<unsigned>(matrix) * 8 + r)[column]};
  };
  for (int m = 0; m < count; ++m) {
    const unsigned fixed = lane / 4;
    const unsigned moving = lane % 4 * 2;
    const std::uint32_t low = transposed ? element(m, moving, fixed) : element(m, fixed, moving);
    const std::uint32_t high =
        transposed ? element(m, moving + 1, fixed) : element(m, fixed, moving + 1);
    registers[m] = low | high << 16;
  }
  thread.warp().done(exchange);
}

}  // namespace lockstep::emulator
