// Collectives in streams: put there, and done when a stream comes to them.
#include <algorithm>
#include <cstring>

#include "capture.h"
#include "device.h"
#include "memory.h"
#include "nccl_comm.h"
#include "nccl_settings.h"
#include "settings.h"

namespace lockstep::emulator {

namespace {

class CollectiveOperation : public Operation {
 public:
  // `previous`: the one before it, in whatever stream. Both null in a graph, whose edges order it.
  CollectiveOperation(std::shared_ptr<Comm> comm, std::vector<Operand> operands,
                      std::shared_ptr<Signal> previous, std::shared_ptr<Signal> end)
      : comm_(std::move(comm)),
        operands_(std::move(operands)),
        previous_(std::move(previous)),
        end_(std::move(end)) {}

  void run(Stream& stream) const override {
    if (previous_) {
      previous_->wait_without_order();
      reach(previous_->virtual_time());
    }
    if (!end_) comm_->expect();
    comm_->exchange(operands_, stream);
    comm_->finished();
    if (end_) end_->fire();
  }

 private:
  std::shared_ptr<Comm> comm_;
  std::vector<Operand> operands_;
  std::shared_ptr<Signal> previous_, end_;
};

}  // namespace

std::shared_ptr<Signal> Comm::enqueue(std::vector<Operand> operands, cudaStream_t handle) {
  Runtime& host = runtime();
  const std::lock_guard lock(host.mutex);
  Device& mine = host.device(device);
  const auto stream = handle == nullptr || handle == cudaStreamLegacy ? mine.default_stream()
                                                                      : host.streams.get(handle);
  require(&stream->device() == &mine, cudaErrorInvalidResourceHandle);
  if (stream->capture) {
    if (capture_.lock() == stream->capture) stream->capture->wait(*stream, captured_, false);
    submit(stream, std::make_shared<CollectiveOperation>(shared_from_this(), std::move(operands),
                                                         nullptr, nullptr));
    capture_ = stream->capture;
    captured_ = stream->capture->heads(*stream);
    return nullptr;
  }
  auto end = std::make_shared<Signal>();
  begin_work(stream);
  expect();
  stream->push(
      std::make_shared<CollectiveOperation>(shared_from_this(), std::move(operands), last_, end));
  last_ = end;
  return settings().one_at_a_time ? stream->mark() : nullptr;
}

// Sanitizers see the copies from and to the buffers, in the stream's order, and nothing between.
void Comm::exchange(const std::vector<Operand>& operands, Stream& stream) {
  {
    const std::lock_guard lock(mutex_);
    if (aborted_) return;
    ++running_;
  }
  if (stream.device().sticky_error() != cudaSuccess) {
    fail(ncclUnhandledCudaError, "the device is lost");
    wait_for_abort();
  } else if (auto answers = ask(operands)) {
    for (std::size_t i = 0; i < operands.size(); ++i) take(operands[i], std::move((*answers)[i]));
  }
  const std::lock_guard lock(mutex_);
  --running_;
  changed_.notify_all();
}

namespace {

Bytes read(const Operand& operand) {
  Bytes data(operand.send_bytes);
  if (data.empty()) return data;
  const DeviceMemoryInUse in_use;
  const Audible audible;
  std::memcpy(data.data(), operand.send, data.size());
  return data;
}

double cost(const std::vector<Operand>& operands) {
  std::size_t bytes = 0;
  for (const Operand& operand : operands) {
    bytes += std::max(operand.send_bytes, operand.receive_bytes);
  }
  const double rate = nccl_settings().bytes_per_second;
  return nccl_settings().latency + (rate > 0 ? static_cast<double>(bytes) / rate : 0.0);
}

}  // namespace

// Nothing where it is aborted meanwhile.
std::optional<Comm::Answers> Comm::ask(const std::vector<Operand>& operands) {
  std::vector<std::uint64_t> ids;
  for (const Operand& operand : operands) {
    ++nccl_settings().collectives_seen;
    ncclResult_t injected = ncclSuccess;
    const Fate fate = nccl_settings().collective.next(rank, injected);
    if (fate == Fate::fails)
      fail(injected, "an injected failure of a " + name_of(operand.signature.kind));
    if (fate != Fate::normal) {
      wait_for_abort();
      return std::nullopt;
    }
    Request request{operand.signature, read(operand), std::make_shared<char>(), virtual_now()};
    order_release(request.token.get());
    {
      const std::lock_guard lock(mutex_);
      ids.push_back(next_id_++);
    }
    link_->submit(ids.back(), std::move(request));
  }
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] {
    return aborted_ || std::all_of(ids.begin(), ids.end(),
                                   [&](std::uint64_t id) { return answers_.contains(id); });
  });
  if (aborted_) return std::nullopt;
  Answers answers;
  for (const std::uint64_t id : ids) answers.push_back(std::move(answers_.extract(id).mapped()));
  for (const Answer& answer : answers) reach(answer.start);
  const double taken = cost(operands);
  spend(std::chrono::round<VirtualTime>(std::chrono::duration<double>(taken)));
  double delay = settings().virtual_time ? 0.0 : taken;
  const auto longest = static_cast<std::uint64_t>(std::max(0, settings().max_delay.load()));
  const auto dice = random_.next();
  if (longest > 0 && !settings().one_at_a_time &&
      dice % static_cast<std::uint64_t>(settings().delay_one_in) == 0) {
    delay += 1e-6 * static_cast<double>(random_.below(longest + 1));
  }
  lock.unlock();
  if (!pause(delay)) return std::nullopt;
  return answers;
}

void Comm::take(const Operand& operand, Answer answer) {
  if (answer.result != ncclSuccess) {
    fail(answer.result, answer.message);
    return;
  }
  for (const Token& token : answer.tokens) {
    if (token) order_acquire(token.get());
  }
  if (operand.receive_bytes == 0) return;
  const DeviceMemoryInUse in_use;
  const Audible audible;
  std::memcpy(operand.receive, answer.data.data(), operand.receive_bytes);
}

void Comm::answer(std::uint64_t id, Answer answer) {
  const std::lock_guard lock(mutex_);
  answers_[id] = std::move(answer);
  changed_.notify_all();
}

}  // namespace lockstep::emulator
