// An array of floats: its own, or somebody else's memory (that of a SharedMemory) which outlives
// it.
#pragma once

#include <span>

#include "lockstep/buffer.h"

namespace lockstep {

class Floats {
 public:
  Floats() = default;
  explicit Floats(size_t size) : own_(size), span_(own_.span()) {}
  explicit Floats(std::span<float> memory) : span_(memory) {}

  std::span<float> span() { return span_; }
  std::span<const float> span() const { return span_; }
  size_t size() const { return span_.size(); }
  auto begin() { return span_.begin(); }
  auto end() { return span_.end(); }
  auto begin() const { return std::span<const float>(span_).begin(); }
  auto end() const { return std::span<const float>(span_).end(); }
  float& operator[](size_t i) { return span_[i]; }
  float operator[](size_t i) const { return span_[i]; }

 private:
  Buffer<float> own_;
  std::span<float> span_;
};

}  // namespace lockstep
