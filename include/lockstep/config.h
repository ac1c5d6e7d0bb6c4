// Everything that a run can be told. Field names are the option names (`--batch-size` is
// `batch_size`); the same keys, with dashes, stand in TOML files and in LOCKSTEP_* variables.
// std::nullopt means "not given": resolve() chooses.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lockstep/backend.h"
#include "lockstep/communicator.h"
#include "lockstep/dataset.h"
#include "lockstep/device.h"
#include "lockstep/optimizer.h"
#include "lockstep/process_group.h"
#include "lockstep/sampler.h"

namespace lockstep {

enum class Strategy { serial, sync, hogwild, local_sgd };
enum class SyncState { average, priv };
// What sync workers hold and exchange: one set of weights of which each updates its slice, from
// everybody's gradients (sliced) or from everybody's activations and their gradients (factors); or
// a replica each, gradients all-reduced.
enum class UpdateKind { automatic, sliced, factors, replicas };
enum class AllReduceChoice { automatic, ring, direct, central };
// How gradients go between ranks: through memory that they share, or by messages of MPI.
enum class MpiTransport { automatic, shared, messages };
enum class Toggle { off, on };
enum class SparseInput { automatic, off, on };
// Whether gradients between GPUs lie in memory that NCCL allocates and registers.
enum class NcclRegister { automatic, off, on };

inline constexpr int kMaxWorkers = 1024;  // in one process, and threads in one worker

struct DataConfig {
  std::string data = "digits";     // SPEC, see README "Data"
  std::string test_data;           // SPEC of a test part; empty: the data's own, if it has one
  double test_fraction = 0.0;      // [0, 1): split off the training part, by seed
  int64_t samples = 0;             // > 0: the first so many training samples
  std::string normalize = "auto";  // auto | none | unit | standard | mean=a,std=b
  std::string augment = "none";    // none | flip | crop:N | flip,crop:N: of training images
  Shuffle shuffle = Shuffle::epoch;
};

struct ModelConfig {
  std::string model = "mlp";                 // logistic | mlp | cnn | lenet
  std::string layers;                        // a network of one's own, as make_layers() reads it
  std::vector<int64_t> hidden = {256, 128};  // mlp
  double dropout = 0.0;                      // mlp, after each hidden layer, [0, 1)
  Precision precision = Precision::fp32;
};

// A sync period in global batches: H >= 1, or one of the two names.
struct SyncEvery {
  enum class Kind { steps, epoch, end } kind = Kind::steps;
  int64_t steps = 1;
};

// Checkpoints every so many epochs or steps ("5", "200s"); 0: none but the final model.
struct CheckpointEvery {
  int64_t count = 0;
  bool in_steps = false;
};

// STRATEGY[:WORKERS[:H]][@DEVICE]
struct Mode {
  std::optional<Strategy> strategy;
  std::optional<int> workers;
  std::optional<SyncEvery> sync_every;
  std::string device = "cpu";
};

struct Config {
  DataConfig data;
  ModelConfig model;
  OptimizerConfig optimizer;
  ScheduleConfig schedule;
  ScaleLearningRate scale_lr = ScaleLearningRate::none;

  int64_t epochs = 10;
  std::optional<int64_t> batch_size;        // global; 64 where neither batch is given
  std::optional<int64_t> per_worker_batch;  // excludes batch_size
  int accumulate = 1;
  uint64_t seed = 1;
  std::string init;  // checkpoint whose weights start the run; empty: by seed

  std::optional<Strategy> strategy;  // sync where the world size is above 1, else serial
  int workers = 1;                   // of each rank; `all` is resolved by the option parser
  std::string device = "auto";       // auto | cpu | cuda | cuda:N,..., see device.h
  int threads = 1;                   // inside one CPU worker
  int ranks = 1;                     // that `compare` starts for a mode @mpi; no option
  SyncEvery sync_every;              // local-sgd
  SyncState sync_state = SyncState::average;
  std::optional<double>
      bucket_mb;  // not given: auto; 0: one reduction a tensor; infinity: one for all
  Toggle overlap = Toggle::on;
  AllReduceChoice allreduce = AllReduceChoice::automatic;
  UpdateKind update = UpdateKind::automatic;
  SparseInput sparse_input = SparseInput::automatic;        // skip zero inputs in the first layer
  DataPlacement data_placement = DataPlacement::automatic;  // of GPUs
  Gemm gemm = Gemm::own;                                    // of GPUs' matrix products
  bool deterministic = false;
  double comm_timeout = 60.0;                    // seconds
  double init_timeout = 120.0;                   // seconds for all ranks to arrive
  GradientType grad_dtype = GradientType::fp32;  // of gradients between GPUs
  NcclRegister nccl_register = NcclRegister::automatic;
  MpiTransport mpi_transport = MpiTransport::automatic;

  std::string out;    // result folder; empty: nothing is written
  std::string trace;  // file for a trace of some steps, which train() returns; empty: none is made
  std::optional<StepRange> trace_steps;  // not given: ten after the first ten
  bool overwrite = false;
  CheckpointEvery checkpoint_every;
  std::string resume;            // folder or checkpoint file
  int64_t eval_every = 1;        // epochs
  double target_accuracy = 0.0;  // > 0: time_to_target is the first epoch's end at or above it
  double target_loss = 0.0;      // > 0: ... at or below it (test loss, else training loss)
  bool stop_at_target = false;
  bool keep_best = false;  // the saved model is the best epoch's (test accuracy, then loss)
  int64_t patience = 0;    // > 0: stop after so many epochs without a better one
};

// The parts of Config that depend on the data and on the world size, with every default chosen.
struct Resolved {
  Config config;
  Strategy strategy = Strategy::serial;
  ProcessGroup* processes = &single_process();
  int ranks = 1;    // of `processes`
  int workers = 1;  // of all ranks together: the world size
  int64_t global_batch = 0;
  int64_t per_worker_batch = 0;  // ceil(global_batch / workers)
  DeviceChoice device;           // of all workers
  double learning_rate_scale = 1.0;
  // sync; automatic: factors where the model's are smaller than its gradients, else sliced
  UpdateKind update = UpdateKind::automatic;
  AllReduceAlgorithm allreduce = AllReduceAlgorithm::direct;
  Gemm gemm = Gemm::own;  // automatic: to be measured
  std::string name;       // canonical mode string: "serial", "sync:2@cuda", "local-sgd:2:8"
  std::vector<std::string> warnings;
  std::string config_json;  // as in the result document; the command line fills it for checkpoints
};

// Checks ranges and combinations (Error{usage} names the option and the remedy) and fills defaults.
// `train_samples` is the size of the training part. Opens the GPUs that `config.device` names;
// Error{device} says why one cannot be had.
Resolved resolve(const Config& config, int64_t train_samples,
                 ProcessGroup& processes = single_process());

// "sync:2@cpu" and the like; Error{usage} names what is wrong in it.
Mode parse_mode(const std::string& text);
// The canonical string. "@cpu" is left out, and which GPUs (`device` is cuda:0,1) has no place in
// it.
std::string mode_name(Strategy strategy, int workers, const SyncEvery& sync_every,
                      std::string_view device = "cpu");

const char* to_string(Strategy strategy);
const char* to_string(Precision precision);
const char* to_string(OptimizerKind kind);
const char* to_string(AllReduceAlgorithm algorithm);
const char* to_string(UpdateKind update);
const char* to_string(DataPlacement placement);
const char* to_string(Gemm gemm);
const char* to_string(GradientType type);
const char* to_string(MpiTransport transport);
const char* to_string(LinearProduct product);
std::string to_string(const SyncEvery& sync_every);

}  // namespace lockstep
