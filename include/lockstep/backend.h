// One device and its compute stream. A Backend compiles (model, share size, optimizer) once into a
// Step; the strategies of src/train/ call only Steps.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "lockstep/augment.h"
#include "lockstep/communicator.h"
#include "lockstep/dataset.h"
#include "lockstep/model.h"
#include "lockstep/optimizer.h"
#include "lockstep/parameters.h"
#include "lockstep/sampler.h"
#include "lockstep/trace.h"

namespace lockstep {

enum class Precision { fp32, tf32, bf16 };

// Where a GPU's data set is: in its own memory, or streamed from the host's.
enum class DataPlacement { automatic, device, host };

// What computes the products of linear layers on a GPU: kernels of our own, cuBLASLt, or for each
// product the faster of the two, measured when the step is compiled.
enum class Gemm { automatic, own, cublas };

// A linear layer's three products.
enum class LinearProduct { forward, input_gradient, weight_gradient };

// What computes one product of a step.
struct ProductChoice {
  LinearProduct product = LinearProduct::forward;
  int64_t batch = 0;  // samples of a full batch
  int64_t inputs = 0;
  int64_t outputs = 0;
  Gemm gemm = Gemm::own;              // or cublas
  std::optional<double> own_seconds;  // median, with what goes with the product; where measured
  std::optional<double> cublas_seconds;
};

// A worker's share of one global batch.
struct Batch {
  const Split* data = nullptr;
  std::span<const int64_t> samples;  // indices into `data`; empty when `contiguous`
  IndexRange contiguous_range;       // used when `samples` is empty: rows [begin, end) in order
  uint32_t epoch = 0;                // keys dropout and augmentation
  bool contiguous = false;
  const Augmentation* augmentation = nullptr;  // what happens to the images; null: nothing

  int64_t size() const {
    return contiguous ? contiguous_range.size() : static_cast<int64_t>(samples.size());
  }
  int64_t sample(int64_t i) const { return contiguous ? contiguous_range.begin + i : samples[i]; }
};

// Sums over samples, so that shares add up.
struct BatchMetrics {
  double loss = 0.0;
  int64_t correct = 0;
  int64_t count = 0;

  BatchMetrics& operator+=(const BatchMetrics& other) {
    loss += other.loss;
    correct += other.correct;
    count += other.count;
    return *this;
  }
};

// Where a step's time went, in seconds, summed since the last reset; what a listener does is not
// counted. A phase that this backend fuses with another is NaN here and null in JSON.
struct StepSeconds {
  double data = 0.0;     // gather, conversion, normalisation
  double compute = 0.0;  // forward, loss, backward
  double update = 0.0;   // optimizer
  // Of a step that exchanges gradients itself: the time that bytes moved, and of it what its
  // computation did not hide. NaN elsewhere.
  double communication = std::numeric_limits<double>::quiet_NaN();
  double exposed_communication = std::numeric_limits<double>::quiet_NaN();
  bool sampled = false;  // measured in some of the steps, and scaled up to all
};

// What backward reports while it runs. Calls come from the thread that called gradients().
class GradientListener {
 public:
  virtual ~GradientListener() = default;
  // Nobody in this step reads weights any more: the chain of input gradients is done.
  virtual void released() = 0;
  // These gradients are final. Ranges come in descending order, cut at multiples of kPadFloats,
  // and cover the whole buffer exactly once a step.
  virtual void ready(Range range) = 0;
};

class FactorStep;
class EpochStep;

// The compiled step of one worker. Not thread-safe: one thread calls it. Weights, gradients and
// state have the same bits whatever StepOptions::threads, but for logistic regression, whose sums
// are one chain a thread, added in the order of the threads, and losses, float64 sums likewise.
class Step {
 public:
  virtual ~Step() = default;

  // Forward and backward over `batch` (may be empty: gradients are then zero and still reported).
  // Writes sums over samples to the gradient buffer. With `accumulate` N > 1 the batch is taken in
  // N parts, share_of(batch, i, N), whose complete gradients are added left to right.
  virtual BatchMetrics gradients(const Batch& batch, GradientListener& listener) = 0;

  // Applies the optimizer to `range` of this step's weights and state from its gradient buffer.
  virtual void update(Range range, const UpdateScalars& scalars) = 0;

  // gradients() and update() of everything; may fuse them. Bitwise equal to the two.
  virtual BatchMetrics train(const Batch& batch, const UpdateScalars& scalars) = 0;

  // Forward only, dropout off; counted in none of seconds(). `logits`, where not empty, receives
  // [batch.size(), outputs].
  virtual BatchMetrics evaluate(const Batch& batch, std::span<float> logits) = 0;

  virtual StepSeconds seconds() const = 0;
  virtual void reset_seconds() = 0;

  // Its matrix products on a GPU, in the order of the layers; none where it has no such.
  virtual std::vector<ProductChoice> products() const { return {}; }

  // This step as one that can exchange factors, or null.
  virtual FactorStep* factor_step() { return nullptr; }

  // This step as one that is given whole epochs, or null.
  virtual EpochStep* epoch_step() { return nullptr; }
};

class DeviceCommunicator;  // comm/device_group.h makes them
class SharedEpochStep;

enum class GradientType { fp32, bf16 };

// How an EpochStep and those of other workers train together.
struct DeviceExchange {
  DeviceCommunicator* communicator = nullptr;  // null: the worker is alone
  // Gradients are summed in every step. Else each worker steps on its own share, and parameters
  // are averaged when average() is called.
  bool of_gradients = true;
  bool overlap = true;                     // sum a bucket while later ones are still computed
  bool ordered = false;                    // ((g0 + g1) + g2) + ... per element
  GradientType type = GradientType::fp32;  // on the wire
  // The sums are part of the captured step. Safe where this process has no other GPU.
  bool captured = false;
};

// What an EpochStep trains on, epoch after epoch. All must outlive it.
struct EpochJob {
  const Split* data = nullptr;
  const Sampler* sampler = nullptr;
  int64_t global_batch = 0;
  int rank = 0;  // takes the share of this rank of each global batch
  int world_size = 1;
  DeviceExchange exchange;
  const Augmentation* augmentation = nullptr;  // of the training images; null: none

  IndexRange batch(int64_t k) const { return sampler->batch(k, global_batch); }
  IndexRange share(int64_t k) const { return share_of(batch(k), rank, world_size); }
};

// What an epoch's steps depend on besides the job and the weights.
struct EpochPlan {
  uint32_t epoch = 0;
  int64_t first_batch = 0;                 // the first of the epoch's batches that is still to do
  int64_t first_step = 0;                  // its number since training began
  std::span<const UpdateScalars> scalars;  // one for each batch of the epoch
};

// What one step does on a device, counted and not measured.
struct StepCost {
  int64_t kernels = 0;
  int64_t stages = 0;  // kernels on the longest chain in which each waits for the one before
  double bytes_read = 0.0, bytes_written = 0.0;  // by each kernel once, as if nothing were cached
  double flop = 0.0;
};

// What an array of floats holds.
struct ValueSummary {
  int64_t not_finite = 0;  // how many are NaN or infinite
  float largest = 0.0F;    // magnitude of the others
};

// What an EpochStep took besides its steps.
struct EpochStepSetUp {
  double transfer_seconds = 0.0;  // copies between host and device that no step waits for
  double capture_seconds = 0.0;   // making the steps that are then replayed
  DataPlacement data_placement = DataPlacement::device;  // of the training part
};

// A step on a device that runs behind the host: it picks the samples itself, and what it computes
// is known some steps later. Its weights are the device's until write_back().
class EpochStep {
 public:
  virtual ~EpochStep() = default;

  // Once, before the first epoch: brings the data set where it belongs and makes the steps.
  virtual void prepare(const EpochJob& job) = 0;
  virtual EpochStepSetUp set_up() const = 0;
  // Of a step over a whole global batch. REQUIRES: prepared.
  virtual StepCost cost() const = 0;

  virtual void begin_epoch(const EpochPlan& plan) = 0;

  // Queues the next batch's gradients and update. Returns the metrics that became known since the
  // last call of this or settle(): of earlier steps, in order, maybe of none.
  virtual BatchMetrics train_next() = 0;

  // Waits for all steps that are queued and returns the metrics that no call returned yet.
  virtual BatchMetrics settle() = 0;

  // Writes weights and state to the StepMemory. REQUIRES: settled.
  virtual void write_back() = 0;

  // The first step, counted since training began, whose loss was not finite: nothing was updated in
  // it and since. -1 where there was none.
  virtual int64_t first_bad_step() const = 0;

  // Of the weights of each tensor, in the layout's order, once all steps that are queued have
  // ended.
  virtual std::vector<ValueSummary> summarize_weights() = 0;

  // This step as one of several that train together, or null: EpochJob::exchange has nobody.
  virtual SharedEpochStep* shared_step() { return nullptr; }
};

enum class AverageState { yes, no };

// What the EpochSteps of several workers do together. All make the same calls in the same order.
class SharedEpochStep {
 public:
  virtual ~SharedEpochStep() = default;

  // Cuts the gradients into buckets, which descend and cover everything: before the first epoch.
  virtual void use_buckets(const std::vector<Range>& buckets) = 0;
  // Seconds, on the device, of gathering, forward, backward and exchange of the first batch;
  // nothing is updated. Before the first epoch.
  virtual double try_step() = 0;

  // Queues: weights, and the optimizer's state where asked for, become the sum over all workers of
  // `weight` times each one's own.
  virtual void average(float weight, AverageState state) = 0;
  // Keeps a copy of weights and state, and takes it back: averaging for an evaluation alone.
  virtual void keep_replica() = 0;
  virtual void restore_replica() = 0;

  // For workers of several processes: this one votes, in each exchange from the next step on, that
  // all stop.
  virtual void vote_to_stop() = 0;
  // Whether the workers have agreed to stop before `step`, which is the next to queue: the same
  // answer on all of them. May wait for earlier steps.
  virtual bool stops_before(int64_t step) = 0;

  // Since the last Step::reset_seconds(), without times.
  virtual CommunicationCounters counters() const = 0;
};

// How the shares of a sum over samples are added.
enum class ShareSum {
  chain,  // one chain through all samples
  fold,   // each share complete, then left to right: ((g0 + g1) + g2) + ...
};

// A linear layer's weight gradient is a product dw = dy^T x over the samples. Workers in one
// address space can therefore read each other's dy and x, the factors, and each compute the whole
// sum for a slice of the units, instead of each computing a gradient of everything for others to
// add up
// ("sufficient factors": Xie, Kim, Zhou, Ho, Kumar, Yu, Xing 2016, "Lighter-communication
// distributed machine learning via sufficient factor broadcasting").
//
// Workers share values and state. Per global batch: compute_factors(), all meet,
// update_from_factors(), all meet.
class FactorStep {
 public:
  virtual ~FactorStep() = default;

  // Forward and the chain of input gradients over a share of a global batch, maybe an empty one.
  // Afterwards this step reads no weights any more and its factors stay until the next call.
  virtual BatchMetrics compute_factors(const Batch& share) = 0;

  // The gradient of slice `rank` of all layers' units, summed over everybody's shares in the order
  // of `steps` (compiled from the same model; this is steps[rank]), and the optimizer's step there.
  virtual void update_from_factors(std::span<FactorStep* const> steps, int rank, ShareSum sum,
                                   const UpdateScalars& scalars) = 0;

  // Bytes of the factors at hand: inputs, which every worker reads, and output gradients, of which
  // each reads its own units' slice.
  struct FactorBytes {
    int64_t inputs = 0;
    int64_t gradients = 0;
  };
  virtual FactorBytes factor_bytes() const = 0;
};

// The memory that a Step works on. Several Steps may share `values` (and `state`); `gradients` is
// each one's own. All have layout.size() floats; state has state_count() * layout.size().
struct StepMemory {
  std::span<float> values;
  std::span<float> gradients;
  std::span<float> state;
};

struct StepOptions {
  int64_t max_batch = 0;  // largest batch.size() of gradients(), train() or evaluate()
  OptimizerConfig optimizer;
  Precision precision = Precision::fp32;
  Gemm gemm = Gemm::own;    // of GPUs
  int64_t train_batch = 0;  // the largest batch of training, where that is known
  uint64_t seed = 0;
  int accumulate = 1;
  int threads = 1;   // inside this worker, the one that calls among them
  int spins = 4000;  // of a waiting one of them before it sleeps; 0 where processors lack
  // Called by each of them but the caller when it starts: pins it, sets its floating-point control.
  std::function<void(int thread)> thread_start;
  DataPlacement data_placement = DataPlacement::automatic;
  size_t slab_bytes = 0;           // largest ready() range, bytes; 0 chooses
  bool gradients_only = false;     // train() is never called
  bool evaluate_only = false;      // only evaluate() is called: gradients and state may be empty
  TraceRecorder* trace = nullptr;  // of the worker, told of the steps' phases; null: of none
};

class Backend {
 public:
  virtual ~Backend() = default;
  // Called on the thread that will run the step. `model`, `layout` and `normalization` must outlive
  // it.
  virtual std::unique_ptr<Step> compile(const Model& model, const ParameterLayout& layout,
                                        const Normalization& normalization,
                                        const StepMemory& memory, const StepOptions& options) = 0;
  // Whether train() works in StepMemory::gradients. Where it does not, a step whose gradients() and
  // update() are never called may have none.
  virtual bool train_needs_gradients(const Model& model, const StepOptions& options) const = 0;
  // Bytes that compile() will allocate, for --dry-run and refusals.
  virtual size_t workspace_bytes(const Model& model, const ParameterLayout& layout,
                                 const StepOptions& options) const = 0;
};

// The CPU: own loops in Highway, oneDNN for bf16 products, the instruction set chosen at run time.
std::unique_ptr<Backend> make_cpu_backend();

// GPU `device`, as survey_gpus() counts them (device.h). Throws Error{device} where this build has
// no CUDA support, or none yet for training.
std::unique_ptr<Backend> make_cuda_backend(int device);

// That of worker `rank` of a run on `choice`.
struct DeviceChoice;
std::unique_ptr<Backend> make_backend(const DeviceChoice& choice, int rank);

}  // namespace lockstep
