#include "sanitizer.h"

#include "emulator/control.h"

// Weak: null in a program that is built without the sanitizer.
#define LOCKSTEP_WEAK __attribute__((weak))
extern "C" {
LOCKSTEP_WEAK void AnnotateIgnoreReadsBegin(const char* file, int line);
LOCKSTEP_WEAK void AnnotateIgnoreReadsEnd(const char* file, int line);
LOCKSTEP_WEAK void AnnotateIgnoreSyncBegin(const char* file, int line);
LOCKSTEP_WEAK void AnnotateIgnoreSyncEnd(const char* file, int line);
LOCKSTEP_WEAK void __tsan_acquire(void* address);
LOCKSTEP_WEAK void __tsan_release(void* address);
LOCKSTEP_WEAK void* __tsan_create_fiber(unsigned flags);
LOCKSTEP_WEAK void* __tsan_get_current_fiber();
LOCKSTEP_WEAK void __tsan_switch_to_fiber(void* fiber, unsigned flags);
LOCKSTEP_WEAK void __sanitizer_start_switch_fiber(void** save, const void* bottom,
                                                  std::size_t bytes);
LOCKSTEP_WEAK void __sanitizer_finish_switch_fiber(void* saved, const void** bottom,
                                                   std::size_t* bytes);
LOCKSTEP_WEAK void __asan_poison_memory_region(const volatile void* memory, std::size_t bytes);
LOCKSTEP_WEAK void __asan_unpoison_memory_region(const volatile void* memory, std::size_t bytes);
}

namespace lockstep::emulator {

namespace {

constexpr unsigned kNoOrder = 1;  // __tsan_switch_to_fiber_no_sync

void hide() {
  if (!AnnotateIgnoreSyncBegin) return;
  AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
  AnnotateIgnoreSyncBegin(__FILE__, __LINE__);
}

void show() {
  if (!AnnotateIgnoreSyncEnd) return;
  AnnotateIgnoreSyncEnd(__FILE__, __LINE__);
  AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
}

}  // namespace

bool under_thread_sanitizer() {
  return __tsan_create_fiber != nullptr;
}

bool under_address_sanitizer() {
  return __asan_poison_memory_region != nullptr;
}

Quiet::Quiet() {
  hide();
}

Quiet::~Quiet() {
  show();
}

Audible::Audible() {
  show();
}

Audible::~Audible() {
  hide();
}

void order_release(const void* token) {
  if (!__tsan_release) return;
  const Audible audible;
  __tsan_release(const_cast<void*>(token));
}

void order_acquire(const void* token) {
  if (!__tsan_acquire) return;
  const Audible audible;
  __tsan_acquire(const_cast<void*>(token));
}

void* create_fiber_context() {
  return __tsan_create_fiber ? __tsan_create_fiber(0) : nullptr;
}

void* current_fiber_context() {
  return __tsan_get_current_fiber ? __tsan_get_current_fiber() : nullptr;
}

void switch_fiber_context(void* fiber) {
  if (__tsan_switch_to_fiber) __tsan_switch_to_fiber(fiber, kNoOrder);
}

void leave_stack(void** save, const void* to_bottom, std::size_t to_bytes) {
  if (__sanitizer_start_switch_fiber) __sanitizer_start_switch_fiber(save, to_bottom, to_bytes);
}

void enter_stack(void* saved, const void** from_bottom, std::size_t* from_bytes) {
  if (__sanitizer_finish_switch_fiber) {
    __sanitizer_finish_switch_fiber(saved, from_bottom, from_bytes);
  }
}

void poison(const void* memory, std::size_t bytes) {
  if (__asan_poison_memory_region) __asan_poison_memory_region(memory, bytes);
}

void unpoison(const void* memory, std::size_t bytes) {
  if (__asan_unpoison_memory_region) __asan_unpoison_memory_region(memory, bytes);
}

}  // namespace lockstep::emulator
