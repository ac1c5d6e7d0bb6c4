// The sanitizers' hooks, which do nothing where the program is built without them.
//
// ThreadSanitizer must see the memory that kernels, copies and host code touch and the order that
// CUDA gives them, and nothing else: the emulator's own locks and queues would order what CUDA does
// not. So this library is not instrumented, everything in it runs under Quiet, which hides the
// calls that ThreadSanitizer intercepts (locks, memcpy, malloc), and order is declared by tokens.
#pragma once

#include <cstddef>

namespace lockstep::emulator {

// While one lives, the calling thread or fiber is hidden from ThreadSanitizer. Does not nest.
class Quiet {
 public:
  Quiet();
  ~Quiet();
  Quiet(const Quiet&) = delete;
  Quiet& operator=(const Quiet&) = delete;
};

// Within a Quiet: what is done while one lives is seen.
class Audible {
 public:
  Audible();
  ~Audible();
  Audible(const Audible&) = delete;
  Audible& operator=(const Audible&) = delete;
};

// What happened before a release of a token happens before what follows an acquire of it. A token
// is an address; one in memory that is freed and allocated again is a new one. REQUIRES Quiet.
void order_release(const void* token);
void order_acquire(const void* token);

// ThreadSanitizer's fibers; null where it is absent.
void* create_fiber_context();
void* current_fiber_context();
void switch_fiber_context(void* fiber);

// AddressSanitizer: leaving a stack, and having come to another. `save` is null where the stack
// that is left will not be used again.
void leave_stack(void** save, const void* to_bottom, std::size_t to_bytes);
void enter_stack(void* saved, const void** from_bottom, std::size_t* from_bytes);
void poison(const void* memory, std::size_t bytes);
void unpoison(const void* memory, std::size_t bytes);

}  // namespace lockstep::emulator
