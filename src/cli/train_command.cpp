// lockstep train: one run.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <utility>

#include "cli/job.h"
#include "cli/progress.h"
#include "cli/ranks.h"
#include "cli/signals.h"
#include "cli/toml_file.h"
#include "comm/device_group.h"
#include "lockstep/checkpoint.h"
#include "lockstep/error.h"
#include "lockstep/sampler.h"
#include "lockstep/trainer.h"
#include "report/format.h"
#include "report/reports.h"
#include "report/trace_json.h"
#include "train/local_place.h"
#include "train/machine.h"
#include "train/step_cost.h"
#include "train/training_state.h"
#include "train/version.h"

namespace lockstep::cli {

namespace {

// The flag's or variable's value of --resume: it must be known before the settings, for which the
// checkpoint's configuration is the weakest source.
std::string resume_argument(const Session& session) {
  std::string path;
  for (const GivenValues& values : {environment_values(kTrain), session.invocation.flags}) {
    for (const GivenValue& value : values) {
      if (value.key == "resume") path = value.text;
    }
  }
  return path;
}

std::optional<Checkpoint> checkpoint_to_resume(const Session& session) {
  const std::string path = resume_argument(session);
  if (path.empty()) return std::nullopt;
  return load_checkpoint(find_training_state(path));
}

// "2 CPU threads", "GPU 0 and 1".
std::string places_of(const Resolved& resolved) {
  const DeviceChoice& device = resolved.device;
  if (device.on_gpu() && resolved.ranks > 1) {
    return fmt::format("{} ranks, a GPU for each worker", resolved.ranks);
  }
  if (device.on_gpu()) return fmt::format("GPU {}", fmt::join(device.gpus, " and "));
  const int threads = resolved.config.workers * resolved.config.threads;
  const std::string each = fmt::format("{} CPU thread{}", threads, threads == 1 ? "" : "s");
  return resolved.ranks == 1 ? each : fmt::format("{} ranks of {}", resolved.ranks, each);
}

void describe_job(Session& session, const Resolved& resolved, const Model& model) {
  const Config& config = resolved.config;
  Console& console = session.console;
  console.note(fmt::format("model: {}, {} parameters; {}, {} epochs, seed {}",
                           describe_model(model), format_integer(model.parameter_count()),
                           to_string(config.optimizer.kind), config.epochs, config.seed));
  console.note(fmt::format("mode: {} on {}, global batch {}, {} a worker", resolved.name,
                           places_of(resolved), resolved.global_batch, resolved.per_worker_batch));
  const Config& asked = session.settings.config;  // `auto` may stand there
  describe_device(session,
                  choose_device(asked.device, asked.workers, local_place(session.processes())));
  for (const std::string& warning : resolved.warnings) session.warn(warning);
  if (!session.settings.verbose) return;
  for (int rank = 0; rank < resolved.workers; ++rank) {
    const IndexRange share = share_of({0, resolved.global_batch}, rank, resolved.workers);
    console.note(fmt::format("worker {}: positions [{}, {}) of each global batch", rank,
                             share.begin, share.end));
  }
}

// What one step does on a GPU, beside the least time that it can take there.
std::string gpu_step_report(const Resolved& resolved, const StepCost& cost) {
  constexpr double kMicro = 1e6;
  const Gpu& gpu = survey_gpus().gpus.at(resolved.device.gpus[0]);
  const StepFloor floor = step_floor(cost, gpu);
  return fmt::format(
      "# a step        {} kernels, {} of them one after the other; reads {}, writes {}, "
      "{:.4g} MFLOP\n"
      "# its floor     {:.1f} us of latency; {:.1f} us for the bytes, {:.1f} us for the FLOP in "
      "float32 ({}{})\n",
      cost.kernels, cost.stages, format_bytes(cost.bytes_read), format_bytes(cost.bytes_written),
      cost.flop / 1e6, kMicro * floor.latency, kMicro * floor.memory, kMicro * floor.arithmetic,
      gpu.name, resolved.device.emulated ? ", emulated" : "");
}

std::string shape_of(const LayerSummary& layer) {
  if (layer.flat) return fmt::format("{}", layer.output.channels);
  return fmt::format("{} x {} x {}", layer.output.channels, layer.output.height,
                     layer.output.width);
}

// Layer by layer; the memory is that of one sample's outputs in float32.
std::string layers_report(const Model& model) {
  std::string text = fmt::format("# {:<32} {:>16} {:>12} {:>12} {:>10}\n", "layer", "output",
                                 "parameters", "MFLOP", "KB");
  for (const LayerSummary& layer : summarize(model)) {
    text += fmt::format("# {:<32} {:>16} {:>12} {:>12.3f} {:>10.1f}\n", layer.text, shape_of(layer),
                        format_integer(layer.parameters), layer.flop / 1e6,
                        static_cast<double>(layer.output.size()) * sizeof(float) / 1e3);
  }
  return text;
}

Json layers_json(const Model& model) {
  Json layers = Json::array();
  for (const LayerSummary& layer : summarize(model)) {
    Json output = Json::array({layer.output.channels});
    if (!layer.flat) {
      output.push_back(layer.output.height);
      output.push_back(layer.output.width);
    }
    layers.push_back({{"layer", layer.text},
                      {"output", output},
                      {"parameters", layer.parameters},
                      {"flop_per_sample", layer.flop},
                      {"output_bytes_per_sample", layer.output.size() * sizeof(float)}});
  }
  return layers;
}

// What --dry-run shows: the configuration, and what it needs.
std::string dry_run_report(const Settings& settings, const Resolved& resolved,
                           const Dataset& dataset, const Model& model,
                           const std::optional<StepCost>& cost) {
  const MemoryEstimate memory = estimate_memory(resolved, dataset, model);
  const int64_t steps = (dataset.train.size() + resolved.global_batch - 1) / resolved.global_batch;
  return fmt::format(
      "{}\n"
      "# mode           {}: {} worker{}, global batch {}, {} a worker\n"
      "# steps          {} an epoch\n"
      "# model          {}: {} parameters, {:.3g} MFLOP a sample\n"
      "# memory         about {}: data {}, parameters {}, workspace {}\n"
      "{}{}",
      write_toml(settings, kTrain, "the resolved configuration"), resolved.name, resolved.workers,
      resolved.workers == 1 ? "" : "s", resolved.global_batch, resolved.per_worker_batch,
      format_integer(steps), describe_model(model), format_integer(model.parameter_count()),
      model.flop_per_sample() / 1e6, format_bytes(static_cast<double>(memory.total())),
      format_bytes(static_cast<double>(memory.data + memory.rounded)),
      format_bytes(static_cast<double>(memory.parameters)),
      format_bytes(static_cast<double>(memory.workspace)), layers_report(model),
      cost ? gpu_step_report(resolved, *cost) : "");
}

Json json_of(const std::optional<StepCost>& cost) {
  if (!cost) return {};
  return {{"kernels", cost->kernels},
          {"stages", cost->stages},
          {"bytes_read", cost->bytes_read},
          {"bytes_written", cost->bytes_written},
          {"flop", cost->flop}};
}

Json dry_run_json(const Resolved& resolved, const Dataset& dataset, const Model& model,
                  const std::optional<StepCost>& cost) {
  const MemoryEstimate memory = estimate_memory(resolved, dataset, model);
  return {{"name", resolved.name},
          {"workers", resolved.workers},
          {"global_batch", resolved.global_batch},
          {"per_worker_batch", resolved.per_worker_batch},
          {"parameters", model.parameter_count()},
          {"flop_per_sample", model.flop_per_sample()},
          {"layers", layers_json(model)},
          {"gpu_step", json_of(cost)},
          {"memory_bytes",
           {{"data", memory.data + memory.rounded},
            {"parameters", memory.parameters},
            {"workspace", memory.workspace},
            {"total", memory.total()}}}};
}

// Follows one training on the console, and keeps what a failed one leaves behind.
class Follower {
 public:
  Follower(Session& session, const Resolved& resolved) : session_(session) {
    partial_.name = resolved.name;
    partial_.strategy = to_string(resolved.strategy);
    partial_.device = resolved.device.name;
    partial_.emulated = resolved.device.emulated;
    partial_.workers = resolved.workers;
    partial_.ranks = resolved.ranks;
    partial_.threads = resolved.config.threads;
    partial_.precision = to_string(resolved.config.model.precision);
    partial_.deterministic = resolved.config.deterministic;
    partial_.global_batch = resolved.global_batch;
    partial_.per_worker_batch = resolved.per_worker_batch;
    epochs_ = resolved.config.epochs;
  }

  TrainObserver observer() {
    TrainObserver observer;
    observer.on_warning = [this](const std::string& warning) { session_.warn(warning); };
    observer.on_note = [this](const std::string& note) { session_.console.note(note); };
    observer.on_epoch = [this](const EpochRecord& epoch) {
      partial_.epochs.push_back(epoch);
      session_.console.note(epoch_line(epoch, epochs_));
    };
    observer.on_progress = [this](const Progress& progress) {
      if (!session_.console.shows_progress()) return;
      const std::chrono::duration<double> now = std::chrono::steady_clock::now() - start_;
      session_.console.progress(
          progress_line("", progress, eta_.eta(progress, now.count()), terminal_width(80)));
    };
    return observer;
  }

  RunResult failed(const Error& error) const {
    RunResult result = partial_;
    result.status = error.kind() == ErrorKind::diverged ? RunStatus::diverged : RunStatus::failed;
    result.reason = error.what();
    return result;
  }

 private:
  Session& session_;
  RunResult partial_;
  int64_t epochs_ = 0;
  EtaClock eta_;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

TrainedModel run_training(Session& session, const Resolved& resolved, const Dataset& dataset,
                          const Model& model, const std::optional<Checkpoint>& resume) {
  Follower follower(session, resolved);
  const PollsStopSignal polls;
  try {
    TrainedModel trained = train(resolved, dataset, model, follower.observer(), &stop_signal(),
                                 resume ? &*resume : nullptr);
    session.console.clear_progress();
    return trained;
  } catch (const Error& error) {
    session.document.runs.push_back(json_of(follower.failed(error)));
    throw;
  }
}

// The exit code of a run that ended by itself or was interrupted, and what is kept of it.
int conclude(Session& session, TrainedModel& trained) {
  RunResult& result = trained.result;
  if (result.repeats.empty()) result.repeats = {result.train_seconds};
  session.document.runs.push_back(json_of(result));
  const bool interrupted = result.status == RunStatus::interrupted;
  if (session.folder && !interrupted) session.folder->write_model(std::move(trained.checkpoint));
  session.print(train_report(result));
  if (!interrupted) {
    if (session.folder) session.console.note("saved: " + session.folder->path());
    return 0;
  }
  session.document.status = "interrupted";
  session.console.note(
      session.folder ? fmt::format("interrupted: `lockstep train --resume {0} --out {0}` continues",
                                   session.folder->path())
                     : "interrupted: nothing was saved (--out DIR keeps a resumable checkpoint)");
  // Of several ranks, those that the signal did not reach end alike.
  const std::vector<int> signals = session.processes().all_gather(stop_signal().load());
  return 128 + *std::ranges::max_element(signals);
}

// The file of a trace: --trace's, else in --out's folder where steps are named.
void choose_trace_file(Settings& settings) {
  Config& config = settings.config;
  if (!config.trace.empty() || !config.trace_steps) return;
  if (config.out.empty()) {
    throw Error(ErrorKind::usage, "--trace-steps: there is no file to write their trace to",
                "add --trace FILE, or --out DIR");
  }
  config.trace = (std::filesystem::path(config.out) / "trace.json").string();
}

// The settings of a run that goes on: the checkpoint's, where nothing else is said.
Settings train_settings(Session& session, std::optional<Checkpoint>& resume) {
  resume = checkpoint_to_resume(session);
  load_settings(session, resume ? values_of_config(resume->config_json) : GivenValues{});
  Settings settings = resolved_settings(session);
  choose_trace_file(settings);
  return settings;
}

void open_folder(Session& session, const Settings& settings) {
  const Config& config = settings.config;
  if (config.out.empty() || settings.dry_run || !session.speaks()) return;
  const bool continues = same_folder(config.out, config.resume);
  const std::string comment = fmt::format(
      "lockstep {}: the configuration of this run; `lockstep train FILE` runs it again", kVersion);
  session.folder = std::make_unique<ResultFolder>(config.out, write_toml(settings, kTrain, comment),
                                                  ResultFolder::Terms{config.overwrite, continues});
}

// What would only be found at the end, after hours.
void check_trace_file(const Session& session, const Settings& settings) {
  if (settings.config.trace.empty() || settings.dry_run || !session.speaks()) return;
  require_writable("--trace", settings.config.trace);
}

void write_trace(Session& session, const Settings& settings, const TrainedModel& trained) {
  if (!trained.trace) return;
  write_file(settings.config.trace, trace_json(*trained.trace, trained.result.name));
  session.console.note(
      fmt::format("trace: {} (open it at https://ui.perfetto.dev)", settings.config.trace));
}

struct Job {
  Dataset dataset;
  Resolved resolved;
  Model model;
};

Job prepare_job(Session& session, const Settings& settings) {
  open_folder(session, settings);
  check_trace_file(session, settings);
  Job job;
  job.dataset = load_job_data(session);
  job.resolved = resolve(settings.config, job.dataset.train.size(), session.processes());
  job.resolved.config_json = config_for_checkpoint(session.document.config);
  job.model = make_model(settings.config.model, job.dataset.features(), job.dataset.classes,
                         job.dataset.image);
  describe_job(session, job.resolved, job.model);
  require_trainable(job.resolved, job.dataset, job.model);
  if (!settings.dry_run) require_memory(job.resolved, job.dataset, job.model);
  return job;
}

// What the answer depends on. Each rank's own device, and where its files are, may differ.
Facts facts_of(const Session& session, const Job& job) {
  Facts facts = {{"version", fmt::format("{} ({})", kVersion, kBuildType)}};
  for (const auto& [name, value] : session.document.config.items()) {
    const bool own = name == "device" || name == "data" || name == "test_data" || name == "init";
    if (own) continue;
    std::string option = "--" + name;
    std::replace(option.begin(), option.end(), '_', '-');
    facts.emplace_back(option, json_text(value));
  }
  facts.emplace_back("data with the hash", job.dataset.sha256);
  facts.emplace_back("training samples", std::to_string(job.dataset.train.size()));
  if (!job.resolved.device.on_gpu()) {
    facts.emplace_back("--device", "cpu");
    facts.emplace_back("instruction set", describe_machine().simd);
    return facts;
  }
  const GpuSurvey& survey = survey_gpus();
  facts.emplace_back("--device", survey.emulated ? "cuda, emulated" : "cuda");
  facts.emplace_back("CUDA", survey.runtime);
  facts.emplace_back("NCCL", nccl_version());
  return facts;
}

std::vector<std::string> gpu_names(const DeviceChoice& device) {
  std::vector<std::string> names;
  for (const int index : device.gpus) {
    const Gpu& gpu = survey_gpus().gpus.at(index);
    names.push_back(fmt::format("{} ({})", gpu.name, gpu.uuid));
  }
  return names;
}

void require_equal_jobs(Session& session, const Job& job) {
  ProcessGroup& processes = session.processes();
  if (processes.size() == 1) return;
  require_equal_ranks(processes, facts_of(session, job));
  if (job.resolved.device.on_gpu()) require_own_gpus(processes, gpu_names(job.resolved.device));
}

int show_dry_run(Session& session, const Settings& settings, const Job& job) {
  const std::optional<StepCost> cost = step_cost(job.resolved, job.dataset, job.model);
  session.document.more["dry_run"] = dry_run_json(job.resolved, job.dataset, job.model, cost);
  session.print(dry_run_report(settings, job.resolved, job.dataset, job.model, cost));
  return 0;
}

}  // namespace

int train_command(Session& session) {
  ProcessGroup& processes = session.processes();
  std::optional<Checkpoint> resume;
  const Settings settings = session.together([&] { return train_settings(session, resume); });
  processes.set_timeout(settings.config.init_timeout);
  session.document.config = config_json(settings, kTrain);
  const Job job = session.together([&] { return prepare_job(session, settings); });
  require_equal_jobs(session, job);
  if (settings.dry_run) return show_dry_run(session, settings, job);
  processes.set_timeout(settings.config.comm_timeout);
  processes.watch(&stop_signal());
  TrainedModel trained = run_training(session, job.resolved, job.dataset, job.model, resume);
  write_trace(session, settings, trained);
  return conclude(session, trained);
}

}  // namespace lockstep::cli
