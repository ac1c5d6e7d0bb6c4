#include "lockstep/buffer.h"

#include <gtest/gtest.h>

#include <limits>

#include "lockstep/error.h"

namespace lockstep {
namespace {

TEST(Buffer, IsZeroedAlignedAndWritable) {
  for (const size_t size : {size_t{1}, size_t{31}, size_t{1000}, size_t{3} << 20}) {
    Buffer<float> buffer(size);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(buffer.data()) % kAlignment, 0u);
    for (const float value : buffer) ASSERT_EQ(value, 0.0f);
    buffer[size - 1] = 1.0f;
    EXPECT_EQ(buffer[size - 1], 1.0f);
  }
}

TEST(Buffer, BigOnesStartAtAHugePage) {
  Buffer<float> buffer(size_t{2} << 20);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(buffer.data()) % (size_t{2} << 20), 0u);
}

TEST(Buffer, MovesWithoutCopying) {
  Buffer<int> a(10);
  const int* data = a.data();
  Buffer<int> b(std::move(a));
  EXPECT_EQ(b.data(), data);
  Buffer<int> c;
  c = std::move(b);
  EXPECT_EQ(c.data(), data);
  EXPECT_EQ(c.size(), 10u);
}

TEST(Buffer, WhatCannotBeHadIsAnErrorWithItsSize) {
  for (const size_t bytes : {size_t{1} << 60, std::numeric_limits<size_t>::max() - 5}) {
    try {
      allocate_aligned(bytes);
      FAIL() << "allocated " << bytes;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::runtime);
      EXPECT_NE(std::string(error.what()).find(std::to_string(bytes)), std::string::npos);
    }
  }
}

}  // namespace
}  // namespace lockstep
