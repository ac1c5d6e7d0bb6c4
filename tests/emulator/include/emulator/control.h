// The emulator's own controls, for tests. All may be called from any host thread while no device
// work is under way. Environment variables set the same at the start, see the README.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "driver_types.h"

namespace lockstep::emulator {

// Ends all work, forgets every stream, event, graph, allocation, error and fault, and makes
// `devices` new devices. Memory still allocated is freed.
void reset(int devices = 1);

// Of one device, from now on.
void set_memory_limit(int device, std::size_t bytes);
// Below 7.5 the device finds no image of any kernel.
void set_compute_capability(int device, int major, int minor);
void set_multiprocessors(int device, int count);

// 1000 major + 10 minor, as cudaDriverGetVersion gives it; 0: there is no driver. One of an older
// major version than the runtime is too old. reset() undoes it.
void set_driver_version(int version);

// Order of blocks, of threads, and the delays are functions of the seed.
void set_seed(std::uint64_t seed);

// Before an operation a stream waits, in one case of `one_in`, up to that many microseconds.
void set_delays(int max_microseconds, int one_in = 1);

// One operation at a time, with the calling host thread paused; under AddressSanitizer device
// memory is poisoned whenever none runs, so that a host access to it is reported.
void set_one_at_a_time(bool on);

// Seconds that a block may spin on atomics without any other progress before it fails.
void set_spin_limit(double seconds);

// Events and communication in virtual time, which is counted and so the same in every run. reset()
// undoes it. A kernel, copy or fill takes a while to start; a kernel takes longer by the times that
// its threads begin, meet each other or copy asynchronously, over the multiprocessors that its
// blocks occupy; bytes that are copied, and collectives, have a rate. Kernels and copies of several
// streams do not slow each other down. Host code, host functions too, and delays take no time.
void set_virtual_time(bool on);
// The calling thread's virtual clock, which a wait or a query that finds work ended moves to the
// end of that work. It passes without the switch as well.
double virtual_seconds();

// What the last kernel that failed was and did; empty where none has failed since reset().
std::string last_failure();

// Fault injection, counted from 0 since the call; -1 injects none. A dropped barrier is one that
// all threads of one block pass without waiting. A dropped event wait is a cudaStreamWaitEvent
// that does nothing but, while capturing, take the stream into the capture.
void drop_barrier(long k);
void drop_event_wait(long k);
// The k-th launch fails with this error, without running; the device is lost where CUDA's would be.
void fail_launch(long k, cudaError_t error);
// The device is lost to this error when the k-th kernel should begin, one of a graph too.
void fail_kernel(long k, cudaError_t error);
// The k-th cudaStreamEndCapture fails with this error.
void fail_capture(long k, cudaError_t error);
// The k-th call that takes memory finds none left: allocations of device and pinned memory,
// streams, events, executable graphs.
void fail_allocation(long k);
// How many there were since the last call that injects them, or reset().
long barriers_seen();
long event_waits_seen();
long launches_seen();
long kernels_seen();
long captures_seen();
long allocations_seen();

// Mutation: from now on the lines of kernels with a __syncthreads, a __syncwarp, a fence or an
// atomic are noted, and what stands at the line `site` is left out, by every thread. Nobody waits
// there and nothing is ordered; an atomic reads, lets other threads run, and writes. Empty: nothing
// is left out. reset() ends it.
void leave_out(const std::string& site);
// Those noted: "__syncwarp at kernels/logistic.cu:89".
std::vector<std::string> sites_seen();

// What was made and is neither freed nor destroyed, in words; empty where nothing is.
std::string held();

// True where ThreadSanitizer, AddressSanitizer watches this program.
bool under_thread_sanitizer();
bool under_address_sanitizer();

}  // namespace lockstep::emulator
