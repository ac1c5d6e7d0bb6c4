// Stacks for device threads. A fiber runs one device thread after another on a stack of its own.
#pragma once

#include <boost/context/fiber.hpp>
#include <cstddef>
#include <deque>
#include <memory>
#include <vector>

namespace lockstep::emulator {

class Fiber {
 public:
  Fiber();
  ~Fiber() = delete;  // fibers live as long as the program, see FiberPool

  using Body = void (*)(void*);

  // Runs body(argument) until it suspends; resume() goes on with it. Both return whether the body
  // has returned. The body lets no exception out.
  bool start(Body body, void* argument);
  bool resume();

  // REQUIRES: called by the body.
  void suspend();

 private:
  void loop(boost::context::fiber&& caller);

  boost::context::fiber context_;
  boost::context::fiber caller_;
  const void* stack_bottom_ = nullptr;
  std::size_t stack_bytes_ = 0;
  const void* caller_bottom_ = nullptr;
  std::size_t caller_bytes_ = 0;
  void* caller_sanitizer_context_ = nullptr;
  void* sanitizer_context_ = nullptr;
  Body body_ = nullptr;
  void* argument_ = nullptr;
  bool finished_ = true;
};

// The fibers of one executor; used by its thread alone. Under ThreadSanitizer a fiber remembers
// what it was ordered after, so that reuse hides races: pools are not shared between streams, and a
// fiber rests as long as possible before it is used again. Elsewhere the last one used is the
// warmest. Fibers of a pool that ends go to the pools made after it.
class FiberPool {
 public:
  FiberPool() = default;
  ~FiberPool();
  FiberPool(const FiberPool&) = delete;
  FiberPool& operator=(const FiberPool&) = delete;

  // A block of so many threads is about to run.
  void prepare(std::size_t threads);
  Fiber* take();
  void give_back(Fiber* fiber);

 private:
  std::deque<Fiber*> idle_;
};

}  // namespace lockstep::emulator
