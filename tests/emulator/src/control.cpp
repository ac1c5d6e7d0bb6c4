#include "emulator/control.h"

#include "cuda_runtime_api.h"
#include "device.h"
#include "event.h"
#include "fault.h"
#include "graph.h"
#include "memory.h"
#include "mutation.h"
#include "nccl_comm.h"
#include "settings.h"

namespace lockstep::emulator {

// Streams end their work as they go; what waits for work of another ends once that one has.
void reset(int devices) {
  const Quiet quiet;
  reset_communication();  // streams wait for it
  Runtime& host = runtime();
  std::vector<std::shared_ptr<Signal>> ends;
  {
    const std::lock_guard lock(host.mutex);
    for (const auto& device : host.devices) {
      for (const auto& stream : device->streams()) ends.push_back(stream->mark());
    }
  }
  for (const auto& end : ends) end->wait();  // without the lock, which operations may take
  {
    const std::lock_guard lock(host.mutex);
    host.graph_execs = {};
    host.graphs = {};
    host.events = {};
    host.streams = {};
    host.make_devices(devices);
    host.streams_made = 0;
  }
  host.note_failure("");
  settings().driver_version = CUDART_VERSION;
  settings().virtual_time = default_virtual_time();
  memory().release_all();
  last_error() = cudaSuccess;
  faults().clear();
  mutation().stop();
}

void set_memory_limit(int device, std::size_t bytes) {
  runtime().device(device).memory_limit = bytes;
}

void set_compute_capability(int device, int major, int minor) {
  runtime().device(device).major = major;
  runtime().device(device).minor = minor;
}

void set_multiprocessors(int device, int count) {
  runtime().device(device).multiprocessors = count;
}

void set_driver_version(int version) {
  settings().driver_version = version;
}

void set_seed(std::uint64_t seed) {
  settings().seed = seed;
}

void set_delays(int max_microseconds, int one_in) {
  settings().max_delay = max_microseconds;
  settings().delay_one_in = one_in;
}

void set_one_at_a_time(bool on) {
  const Quiet quiet;
  settings().one_at_a_time = on;
  memory().poison_device_memory(on);
}

void set_spin_limit(double seconds) {
  settings().spin_limit = seconds;
}

void set_virtual_time(bool on) {
  settings().virtual_time = on;
}

double virtual_seconds() {
  return std::chrono::duration<double>(virtual_now()).count();
}

std::string last_failure() {
  const Quiet quiet;
  return runtime().last_failure();
}

void drop_barrier(long k) {
  faults().barrier.choose(k);
}

void drop_event_wait(long k) {
  faults().event_wait.choose(k);
}

void fail_launch(long k, cudaError_t error) {
  faults().launch.choose(k, error);
}

void fail_kernel(long k, cudaError_t error) {
  faults().kernel.choose(k, error);
}

void fail_capture(long k, cudaError_t error) {
  faults().capture.choose(k, error);
}

void fail_allocation(long k) {
  faults().allocation.choose(k);
}

long barriers_seen() {
  return faults().barrier.seen();
}

long event_waits_seen() {
  return faults().event_wait.seen();
}

long launches_seen() {
  return faults().launch.seen();
}

long kernels_seen() {
  return faults().kernel.seen();
}

long captures_seen() {
  return faults().capture.seen();
}

long allocations_seen() {
  return faults().allocation.seen();
}

void leave_out(const std::string& site) {
  mutation().leave_out(site);
}

std::vector<std::string> sites_seen() {
  return mutation().seen();
}

std::string held() {
  const Quiet quiet;
  Runtime& host = runtime();
  const std::lock_guard lock(host.mutex);
  std::string text = memory().held();
  const auto add = [&](std::size_t count, const char* what) {
    if (count == 0) return;
    if (!text.empty()) text += ", ";
    text += std::to_string(count) + " " + what;
  };
  add(host.streams.all().size(), "streams");
  add(host.events.all().size(), "events");
  add(host.graphs.all().size(), "graphs");
  add(host.graph_execs.all().size(), "executable graphs");
  add(all_comms().size(), "communicators");
  return text;
}

}  // namespace lockstep::emulator
