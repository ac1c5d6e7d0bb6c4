#include "comm/nccl_communicator.h"

#include <exception>
#include <thread>
#include <utility>

#include "comm/nccl_check.h"
#include "comm/nccl_watchdog.h"
#include "kernels/check.h"

namespace lockstep {

namespace {

// How long peers may take to end their communicators too. All work is done by then: an abort does
// no harm.
constexpr std::chrono::seconds kFinalizeDeadline{5};

ncclDataType_t nccl_type(WireType type) {
  return type == WireType::bf16 ? ncclBfloat16 : ncclFloat32;
}

bool failed(ncclResult_t result) {
  return result != ncclSuccess && result != ncclInProgress;
}

int current_device() {
  int device = 0;
  check(cudaGetDevice(&device), "cudaGetDevice");
  return device;
}

// What a device has failed with, for any thread: CUDA tells of the current one alone.
cudaError_t error_of(int device, cudaStream_t stream) {
  int before = device;
  (void)cudaGetDevice(&before);
  (void)cudaSetDevice(device);
  const cudaError_t error = cudaStreamQuery(stream);
  (void)cudaSetDevice(before);
  return error;
}

cudaStream_t make_stream() {
  int lowest = 0, highest = 0;
  check(cudaDeviceGetStreamPriorityRange(&lowest, &highest), "cudaDeviceGetStreamPriorityRange");
  cudaStream_t stream = nullptr;
  check(cudaStreamCreateWithPriority(&stream, cudaStreamNonBlocking, highest),
        "cudaStreamCreateWithPriority");
  return stream;
}

// Between two looks at a call that is under way.
void pause(int look) {
  if (look < 1000) {
    std::this_thread::yield();
  } else {
    std::this_thread::sleep_for(std::chrono::microseconds(50));
  }
}

}  // namespace

NcclCommunicator::NcclCommunicator(int rank, int size, GroupHealth& health, NcclWatchdog& watchdog)
    : rank_(rank),
      size_(size),
      device_(current_device()),
      health_(health),
      watchdog_(watchdog),
      stream_(make_stream()) {
  watchdog_.add(*this);
}

NcclCommunicator::~NcclCommunicator() {
  if (std::uncaught_exceptions() == 0) finalize();
  watchdog_.end(*this);
  (void)cudaStreamDestroy(stream_);
}

bool NcclCommunicator::connect(const ncclUniqueId& id, Clock::time_point deadline) {
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = 0;
  {
    const std::lock_guard lock(mutex_);
    if (ended_) throw PeerAborted();
    check_nccl(ncclCommInitRankConfig(&comm_, size_, id, rank_, &config), "ncclCommInitRankConfig",
               comm_);
  }
  connected_ = poll(deadline);
  return connected_;
}

bool NcclCommunicator::poll(Clock::time_point deadline) {
  for (int look = 0;; ++look) {
    health_.check();
    {
      const std::lock_guard lock(mutex_);
      if (ended_) throw PeerAborted();
      ncclResult_t state = ncclSuccess;
      check_nccl(ncclCommGetAsyncError(comm_, &state), "ncclCommGetAsyncError", comm_);
      if (state == ncclSuccess) return true;
      if (state != ncclInProgress) throw late_error(state, describe_nccl(state, comm_));
    }
    if (Clock::now() >= deadline) return false;
    pause(look);
  }
}

void NcclCommunicator::checked(ncclResult_t result, const char* what) const {
  if (result == ncclUnhandledCudaError) throw late_error(result, describe_nccl(result, comm_));
  check_nccl(result, what, comm_);
}

// Without a deadline of its own: the watchdog's ends it.
template <class Queue>
void NcclCommunicator::call(const char* what, const Queue& queue) {
  health_.check();
  {
    const std::lock_guard lock(mutex_);
    if (ended_) throw PeerAborted();
    checked(ncclGroupStart(), "ncclGroupStart");
    const ncclResult_t queued = queue();
    const ncclResult_t ended = ncclGroupEnd();  // also where a call failed
    checked(queued, what);
    checked(ended, "ncclGroupEnd");
  }
  calling_.store(true, std::memory_order_relaxed);
  try {
    poll(Clock::time_point::max());
  } catch (...) {
    calling_.store(false, std::memory_order_relaxed);
    throw;
  }
  calling_.store(false, std::memory_order_relaxed);
}

void NcclCommunicator::all_reduce(std::span<const WireSpan> spans) {
  call("ncclAllReduce", [&] {
    for (const WireSpan& span : spans) {
      const ncclResult_t result = ncclAllReduce(span.data, span.data, span.count,
                                                nccl_type(span.type), ncclSum, comm_, stream_);
      if (failed(result)) return result;
    }
    return ncclSuccess;
  });
}

void NcclCommunicator::exchange(std::span<const Transfer> sends,
                                std::span<const Transfer> receives) {
  if (sends.empty() && receives.empty()) return;
  call("ncclSend or ncclRecv", [&] {
    for (const Transfer& to : sends) {
      const ncclResult_t result = ncclSend(to.data, to.count, ncclFloat32, to.peer, comm_, stream_);
      if (failed(result)) return result;
    }
    for (const Transfer& from : receives) {
      const ncclResult_t result =
          ncclRecv(from.data, from.count, ncclFloat32, from.peer, comm_, stream_);
      if (failed(result)) return result;
    }
    return ncclSuccess;
  });
}

void NcclCommunicator::watch(const StepWatch& step) {
  const std::lock_guard lock(watch_mutex_);
  watched_ = step;
}

NcclCommunicator::Progress NcclCommunicator::progress() {
  const std::lock_guard lock(watch_mutex_);
  Progress progress{.waiting = calling_.load(std::memory_order_relaxed)};
  if (!watched_.queued) return progress;
  const auto mapped = [](const unsigned* counter) {
    return std::atomic_ref(const_cast<unsigned&>(*counter)).load(std::memory_order_acquire);
  };
  progress.queued = watched_.queued->load(std::memory_order_relaxed);
  progress.done = mapped(watched_.steps);
  progress.buckets_done = mapped(watched_.buckets);
  progress.buckets = watched_.all_buckets->load(std::memory_order_relaxed);
  progress.waiting |=
      watched_.waiting->load(std::memory_order_relaxed) || progress.queued != progress.done;
  return progress;
}

std::optional<Error> NcclCommunicator::async_error() {
  const std::lock_guard lock(mutex_);
  if (ended_ || !comm_) return std::nullopt;
  ncclResult_t state = ncclSuccess;
  const ncclResult_t asked = ncclCommGetAsyncError(comm_, &state);
  if (asked != ncclSuccess) state = asked;
  if (state == ncclSuccess || state == ncclInProgress) return std::nullopt;
  return late_error(state, ncclGetErrorString(state));
}

// Where a GPU failed, CUDA knows better than NCCL how.
Error NcclCommunicator::late_error(ncclResult_t result, const std::string& text) const {
  const cudaError_t error =
      result == ncclUnhandledCudaError ? error_of(device_, stream_) : cudaSuccess;
  if (error == cudaSuccess || error == cudaErrorNotReady) return late_nccl_error(rank_, text);
  try {
    throw_cuda_error(error, "a step on the GPU of rank " + std::to_string(rank_), __FILE__,
                     __LINE__);
  } catch (const CudaError& failure) {
    return failure;
  }
}

void NcclCommunicator::abort() noexcept {
  const std::lock_guard lock(mutex_);
  if (!ended_ && comm_) (void)ncclCommAbort(comm_);
  ended_ = true;
  comm_ = nullptr;
}

// What goes wrong here only makes the watchdog abort it.
void NcclCommunicator::finalize() {
  if (!connected_ || health_.failed() || health_.stopped()) return;
  try {
    {
      const std::lock_guard lock(mutex_);
      if (ended_) return;
      check_nccl(ncclCommFinalize(comm_), "ncclCommFinalize", comm_);
    }
    if (!poll(Clock::now() + kFinalizeDeadline)) return;
    const std::lock_guard lock(mutex_);
    if (ended_) return;
    ended_ = true;  // whatever comes of it, the communicator is gone
    check_nccl(ncclCommDestroy(std::exchange(comm_, nullptr)), "ncclCommDestroy");
  } catch (...) {
  }
}

}  // namespace lockstep
