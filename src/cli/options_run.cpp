// The options that say how it is run: mode, run, compare.
#include <cmath>
#include <limits>

#include "cli/options.h"
#include "train/machine.h"

namespace lockstep::cli {

namespace {

Option workers_option() {
  Option option = row(
      Section::mode, "workers", "N|all", "workers, one CPU thread each",
      [](auto& s) -> auto& { return s.config.workers; });
  option.set = [](Settings& settings, const std::string& text) {
    if (text == "all") {
      settings.config.workers = usable_cpus();
      return;
    }
    try {
      parse_value(text, settings.config.workers);
    } catch (const BadValue& bad) {
      throw BadValue{bad.expected + ", or all", bad.remedy};
    }
  };
  return option;
}

Option bucket_option() {
  Option option = row(
      Section::mode, "bucket-mb", "auto|F|inf",
      "megabytes of gradients reduced at once; 0: each tensor; inf: all",
      [](auto& s) -> auto& { return s.config.bucket_mb; });
  option.default_text = "auto";
  option.set = [](Settings& settings, const std::string& text) {
    if (text == "auto") {
      settings.config.bucket_mb.reset();
      return;
    }
    try {
      parse_value(text, settings.config.bucket_mb);
    } catch (const BadValue& bad) {
      throw BadValue{bad.expected + ", auto or inf", bad.remedy};
    }
  };
  option.get = [](const Settings& settings) {
    return settings.config.bucket_mb ? to_json(*settings.config.bucket_mb) : Json("auto");
  };
  return option;
}

}  // namespace

std::vector<Option> mode_options() {
  const auto mode = [](auto... arguments) { return row(Section::mode, arguments...); };
  Option strategy = mode(
      "strategy", "NAME", "serial, sync, hogwild or local-sgd",
      [](auto& s) -> auto& { return s.config.strategy; });
  strategy.default_text = "sync for several workers, else serial";
  Option threads = mode(
      "threads", "N", "threads inside each worker",
      [](auto& s) -> auto& { return s.config.threads; });
  threads.commands |= kEval | kPredict;
  Option device = mode(
      "device", "NAME", "auto, cpu, cuda or cuda:N,...: a GPU for each worker",
      [](auto& s) -> auto& { return s.config.device; });
  device.commands |= kEval | kPredict;
  return {
      strategy,
      workers_option(),
      device,
      threads,
      mode(
          "sync-every", "H|epoch|end", "local-sgd: average parameters every H global batches",
          [](auto& s) -> auto& { return s.config.sync_every; }),
      mode(
          "sync-state", "KIND", "local-sgd: average or private momentum and moments",
          [](auto& s) -> auto& { return s.config.sync_state; }),
      bucket_option(),
      mode(
          "overlap", "on|off", "sync: communicate while backward still runs",
          [](auto& s) -> auto& { return s.config.overlap; }),
      mode(
          "allreduce", "KIND", "auto, ring, direct or central",
          [](auto& s) -> auto& { return s.config.allreduce; }),
      mode(
          "update", "KIND", "sync: auto, sliced or factors (shared weights), or replicas",
          [](auto& s) -> auto& { return s.config.update; }),
      mode(
          "sparse-input", "auto|on|off",
          "skip zero inputs in the first layer of an MLP (CPU, fp32)",
          [](auto& s) -> auto& { return s.config.sparse_input; }),
      mode(
          "data-placement", "auto|device|host",
          "a GPU's data: in its memory or streamed from the host's",
          [](auto& s) -> auto& { return s.config.data_placement; }),
      mode(
          "gemm", "auto|own|cublas",
          "matrix products on GPUs: own kernels, cuBLASLt, or for each the faster, measured at "
          "start (own until a GPU has tried it)",
          [](auto& s) -> auto& { return s.config.gemm; }),
      mode(
          "grad-dtype", "fp32|bf16", "sync: gradients on their way between GPUs",
          [](auto& s) -> auto& { return s.config.grad_dtype; }),
      mode(
          "deterministic", "", "sync with W workers gives the bits of serial --accumulate W",
          [](auto& s) -> auto& { return s.config.deterministic; }),
      mode(
          "comm-timeout", "S", "seconds after which a missing worker is an error",
          [](auto& s) -> auto& { return s.config.comm_timeout; }),
      mode(
          "init-timeout", "S", "seconds in which all ranks must have arrived",
          [](auto& s) -> auto& { return s.config.init_timeout; }),
      mode(
          "mpi-transport", "KIND",
          "between ranks on CPUs: auto, shared (memory of one machine) or messages",
          [](auto& s) -> auto& { return s.config.mpi_transport; }),
  };
}

namespace {

std::vector<Option> stopping_options() {
  const auto run = [](auto... arguments) { return row(Section::run, arguments...); };
  return {
      run(
          "eval-every", "N", "evaluate the test data every N epochs",
          [](auto& s) -> auto& { return s.config.eval_every; }),
      run(
          "target-accuracy", "A", "report the time to this accuracy (0 to 1)",
          [](auto& s) -> auto& { return s.config.target_accuracy; }),
      run(
          "target-loss", "L", "report the time to this loss",
          [](auto& s) -> auto& { return s.config.target_loss; }),
      run(
          "stop-at-target", "", "stop there",
          [](auto& s) -> auto& { return s.config.stop_at_target; }),
      run(
          "keep-best", "", "save the best epoch's model, not the last",
          [](auto& s) -> auto& { return s.config.keep_best; }),
      run(
          "patience", "N", "stop after N evaluations without a better one; 0: never",
          [](auto& s) -> auto& { return s.config.patience; }),
  };
}

std::vector<Option> folder_options() {
  const auto run = [](auto... arguments) { return row(Section::run, arguments...); };
  std::vector<Option> rows = {
      run(
          "out", "DIR", "write result.json, config.toml, model.safetensors, checkpoints/ there",
          [](auto& s) -> auto& { return s.config.out; }),
      run(
          "overwrite", "", "replace another configuration's result in that folder",
          [](auto& s) -> auto& { return s.config.overwrite; }),
      run(
          "checkpoint-every", "N|Ns", "save a resumable checkpoint every N epochs, or N steps",
          [](auto& s) -> auto& { return s.config.checkpoint_every; }),
      run(
          "resume", "DIR|FILE", "continue a run from its folder or checkpoint",
          [](auto& s) -> auto& { return s.config.resume; }),
  };
  for (Option& option : rows) option.saved = false;
  rows[0].commands |= kDoctor;
  rows[2].commands = kTrain;
  rows[3].commands = kTrain;
  rows[3].excludes = "init";
  return rows;
}

std::vector<Option> trace_options() {
  const auto run = [](auto... arguments) { return row(Section::run, arguments...); };
  std::vector<Option> rows = {
      run(
          "trace", "FILE", "write when each part of some steps ran, for ui.perfetto.dev",
          [](auto& s) -> auto& { return s.config.trace; }),
      run(
          "trace-steps", "A:B",
          "the steps to trace, counted from 0 and without B; with --out alone DIR/trace.json is "
          "written",
          [](auto& s) -> auto& { return s.config.trace_steps; }),
  };
  rows[1].default_text = "10:20";
  for (Option& option : rows) {
    option.saved = false;
    option.commands = kTrain;
  }
  return rows;
}

std::vector<Option> output_options() {
  const auto run = [](auto... arguments) { return row(Section::run, arguments...); };
  std::vector<Option> rows = {
      run(
          "json", "", "print one JSON document on stdout, on failure too",
          [](auto& s) -> auto& { return s.json; }),
      run(
          "quiet", "", "only results and errors", [](auto& s) -> auto& { return s.quiet; }),
      run(
          "verbose", "", "also each worker's share of the samples",
          [](auto& s) -> auto& { return s.verbose; }),
      run(
          "dry-run", "", "show the resolved configuration and what it needs; train nothing",
          [](auto& s) -> auto& { return s.dry_run; }),
      run(
          "checkpoint", "FILE|DIR", "the model: a checkpoint, or the --out folder of a run",
          [](auto& s) -> auto& { return s.checkpoint; }),
      run(
          "output", "FILE", "write predictions to this .csv or .npy file, not to stdout",
          [](auto& s) -> auto& { return s.output; }),
  };
  for (Option& option : rows) option.saved = false;
  for (int i = 0; i < 3; ++i) rows[i].commands = kEverywhere;
  rows[4].commands = kEval | kPredict;
  rows[5].commands = kPredict;
  return rows;
}

}  // namespace

std::vector<Option> run_options() {
  std::vector<Option> rows = folder_options();
  for (Option& option : stopping_options()) rows.push_back(std::move(option));
  for (Option& option : trace_options()) rows.push_back(std::move(option));
  for (Option& option : output_options()) rows.push_back(std::move(option));
  return rows;
}

std::vector<Option> compare_options() {
  const auto compare = [](auto... arguments) { return row(Section::compare, arguments...); };
  std::vector<Option> rows = {
      compare(
          "modes", "M,M,...", "modes, each STRATEGY[:WORKERS[:H]][@DEVICE]",
          [](auto& s) -> auto& { return s.modes; }),
      compare(
          "workers-list", "N,N,...", "run each mode without a number of workers with these",
          [](auto& s) -> auto& { return s.workers_list; }),
      compare(
          "baseline", "MODE", "the mode that speedup is measured against",
          [](auto& s) -> auto& { return s.baseline; }),
      compare(
          "repeats", "N", "timed runs of each mode, interleaved",
          [](auto& s) -> auto& { return s.repeats; }),
      compare(
          "warmup", "N", "untimed one-epoch runs of each mode before those",
          [](auto& s) -> auto& { return s.warmup; }),
  };
  rows[0].default_text = "all that this machine can run";
  rows[2].default_text = "serial";
  for (Option& option : rows) option.commands = kCompare;
  return rows;
}

}  // namespace lockstep::cli
