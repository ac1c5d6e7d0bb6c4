#include "stream.h"

#include <chrono>
#include <thread>

#include "capture.h"
#include "device.h"
#include "sanitizer.h"
#include "settings.h"

namespace lockstep::emulator {

Stream::Stream(Device& device, bool blocking, int priority, std::uint64_t id)
    : device_(device),
      blocking_(blocking),
      priority_(priority),
      random_(settings().seed * 0x100000001b3U + id) {}

void Stream::push(OperationPointer operation) {
  push(std::move(operation), virtual_now());
}

void Stream::push(OperationPointer operation, VirtualTime earliest) {
  ++pushed;
  // The operation's place in the queue is what orders the host before it.
  auto place = std::make_shared<char>();
  order_release(place.get());
  worker_.push([this, place = std::move(place), operation = std::move(operation), earliest] {
    order_acquire(place.get());
    reach(earliest);
    run(*operation);
  });
}

std::shared_ptr<Signal> Stream::mark() {
  if (!mark_ || marked_ != pushed) {
    mark_ = std::make_shared<Signal>();
    push(fire_operation(mark_), VirtualTime{});
    marked_ = pushed;
  }
  return mark_;
}

void Stream::run(const Operation& operation) {
  if (!operation.bookkeeping()) delay();
  if (!operation.overlaps()) finish_grids();
  operation.run(*this);
}

void Stream::delay() {
  const int longest = settings().max_delay;
  const auto dice = random_.next();
  if (longest <= 0 || settings().one_at_a_time) return;
  if (dice % static_cast<std::uint64_t>(settings().delay_one_in) != 0) return;
  std::this_thread::sleep_for(
      std::chrono::microseconds(random_.below(static_cast<std::uint64_t>(longest) + 1)));
}

void Stream::finish_grids() {
  for (const auto& grid : grids_) grid->completed().wait();
  grids_.clear();
}

// A kernel that may overlap starts when the one before it allows that; it is not ordered after it
// until it waits for it. No more than two run at a time.
void Stream::start_grid(const KernelLaunch& launch) {
  std::shared_ptr<GridRun> before;
  if (!grids_.empty()) {
    before = grids_.back();
    before->launched_dependents().wait_without_order();
    if (grids_.size() > 1) {  // the last one's end comes after this one's
      grids_.front()->completed().wait_without_order();
      grids_.erase(grids_.begin());
    }
  } else {
    next_executor_ = 0;
  }
  auto grid = std::make_shared<GridRun>(launch, before, random_.next());
  order_release(grid->start_token());
  auto& executor = executors_[next_executor_++ % 2];
  if (!executor) executor = std::make_unique<Executor>();
  executor->worker.push([grid, &fibers = executor->fibers, start = virtual_now()] {
    reach(start);
    grid->run(fibers);
  });
  grids_.push_back(std::move(grid));
}

void begin_work(const std::shared_ptr<Stream>& stream) {
  Device& device = stream->device();
  const auto& default_stream = device.default_stream();
  if (stream == default_stream) {
    for (const auto& other : device.blocking_streams()) {
      require(!other->capture, cudaErrorStreamCaptureImplicit);
      if (other->pushed > 0) stream->push(wait_operation(other->mark()));
    }
  } else if (stream->blocking() && default_stream->pushed > stream->default_stream_seen) {
    auto reached = default_stream->mark();
    stream->default_stream_seen = default_stream->pushed;
    stream->push(wait_operation(std::move(reached)));
  }
}

void end_work(const std::shared_ptr<Stream>& stream) {
  if (settings().one_at_a_time) stream->mark()->wait_without_order();
}

void submit(const std::shared_ptr<Stream>& stream, OperationPointer operation) {
  if (stream->capture) {
    stream->capture->add(*stream, std::move(operation));
    return;
  }
  begin_work(stream);
  stream->push(std::move(operation));
  end_work(stream);
}

}  // namespace lockstep::emulator
