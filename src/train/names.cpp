// The names of modes, strategies and the like, as options, tables and JSON show them.
#include <fmt/format.h>

#include <charconv>
#include <string_view>
#include <utility>

#include "lockstep/config.h"
#include "lockstep/error.h"
#include "train/nearest.h"

namespace lockstep {

namespace {

constexpr Strategy kStrategies[] = {Strategy::serial, Strategy::sync, Strategy::hogwild,
                                    Strategy::local_sgd};
const char* const kForm = "a mode is STRATEGY[:WORKERS[:H]][@DEVICE], for example sync:2";

[[noreturn]] void refuse(const std::string& text, const std::string& what, std::string remedy) {
  throw Error(ErrorKind::usage, fmt::format("mode '{}': {}", text, what), std::move(remedy));
}

// Takes the part of `rest` before the next ':' off it.
std::string_view take_part(std::string_view& rest) {
  const size_t colon = rest.find(':');
  const std::string_view part = rest.substr(0, colon);
  rest = colon == std::string_view::npos ? std::string_view{} : rest.substr(colon + 1);
  return part;
}

std::optional<int64_t> positive_integer(std::string_view text) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value < 1) return std::nullopt;
  return value;
}

Strategy parse_strategy(const std::string& text, std::string_view part) {
  std::vector<std::string> names;
  for (const Strategy strategy : kStrategies) {
    if (part == to_string(strategy)) return strategy;
    names.emplace_back(to_string(strategy));
  }
  refuse(text, fmt::format("'{}' is not a strategy", part), suggestion(part, names));
}

SyncEvery parse_period(const std::string& text, std::string_view part) {
  if (part == "epoch") return {SyncEvery::Kind::epoch, 1};
  if (part == "end") return {SyncEvery::Kind::end, 1};
  const auto steps = positive_integer(part);
  if (!steps) {
    refuse(text, fmt::format("the sync period '{}' is not a number from 1, 'epoch' or 'end'", part),
           kForm);
  }
  return {SyncEvery::Kind::steps, *steps};
}

std::string parse_device(const std::string& text, std::string_view part) {
  for (const char* device : {"cpu", "cuda", "mpi"}) {
    if (part == device) return device;
  }
  refuse(text, fmt::format("'{}' is not a device", part), "expected @cpu, @cuda or @mpi");
}

}  // namespace

Mode parse_mode(const std::string& text) {
  Mode mode;
  std::string_view rest = text;
  if (const size_t at = rest.find('@'); at != std::string_view::npos) {
    mode.device = parse_device(text, rest.substr(at + 1));
    rest = rest.substr(0, at);
  }
  if (rest == "cuda") {
    mode.strategy = Strategy::serial;
    mode.device = "cuda";
    return mode;
  }
  if (rest.starts_with("cuda:")) {
    refuse(text, "a number of GPUs needs a strategy",
           fmt::format("write sync:{}@cuda", rest.substr(5)));
  }

  if (rest.ends_with(':')) refuse(text, "nothing stands behind the last ':'", kForm);
  mode.strategy = parse_strategy(text, take_part(rest));
  if (!rest.empty()) {
    const std::string_view part = take_part(rest);
    const auto workers = positive_integer(part);
    if (!workers || *workers > kMaxWorkers) {
      refuse(text, fmt::format("'{}' is not a number of workers from 1 to {}", part, kMaxWorkers),
             kForm);
    }
    mode.workers = static_cast<int>(*workers);
  }
  if (mode.strategy == Strategy::serial && mode.workers.value_or(1) != 1) {
    refuse(text, "serial has one worker", fmt::format("write sync:{}", *mode.workers));
  }
  if (!rest.empty()) {
    if (mode.strategy != Strategy::local_sgd) {
      refuse(text, fmt::format("only local-sgd has a sync period (':{}')", rest), kForm);
    }
    mode.sync_every = parse_period(text, rest);
  }
  return mode;
}

std::string mode_name(Strategy strategy, int workers, const SyncEvery& sync_every,
                      std::string_view device) {
  std::string name = to_string(strategy);
  if (strategy != Strategy::serial) name += fmt::format(":{}", workers);
  if (strategy == Strategy::local_sgd) name += fmt::format(":{}", to_string(sync_every));
  if (device == "cpu" || device == "auto") return name;
  return fmt::format("{}@{}", name, device.substr(0, device.find(':')));
}

const char* to_string(Strategy strategy) {
  switch (strategy) {
    case Strategy::serial: return "serial";
    case Strategy::sync: return "sync";
    case Strategy::hogwild: return "hogwild";
    case Strategy::local_sgd: return "local-sgd";
  }
  return "serial";
}

const char* to_string(Precision precision) {
  switch (precision) {
    case Precision::fp32: return "fp32";
    case Precision::tf32: return "tf32";
    case Precision::bf16: return "bf16";
  }
  return "fp32";
}

const char* to_string(OptimizerKind kind) {
  switch (kind) {
    case OptimizerKind::sgd: return "sgd";
    case OptimizerKind::adam: return "adam";
    case OptimizerKind::adamw: return "adamw";
  }
  return "sgd";
}

const char* to_string(AllReduceAlgorithm algorithm) {
  switch (algorithm) {
    case AllReduceAlgorithm::ring: return "ring";
    case AllReduceAlgorithm::direct: return "direct";
    case AllReduceAlgorithm::central: return "central";
    case AllReduceAlgorithm::library: return "mpi";
  }
  return "direct";
}

const char* to_string(UpdateKind update) {
  switch (update) {
    case UpdateKind::automatic: return "auto";
    case UpdateKind::sliced: return "sliced";
    case UpdateKind::factors: return "factors";
    case UpdateKind::replicas: return "replicas";
  }
  return "auto";
}

const char* to_string(MpiTransport transport) {
  switch (transport) {
    case MpiTransport::automatic: return "auto";
    case MpiTransport::shared: return "shared";
    case MpiTransport::messages: return "messages";
  }
  return "auto";
}

const char* to_string(DataPlacement placement) {
  switch (placement) {
    case DataPlacement::automatic: return "auto";
    case DataPlacement::device: return "device";
    case DataPlacement::host: return "host";
  }
  return "auto";
}

const char* to_string(Gemm gemm) {
  switch (gemm) {
    case Gemm::automatic: return "auto";
    case Gemm::own: return "own";
    case Gemm::cublas: return "cublas";
  }
  return "own";
}

const char* to_string(GradientType type) {
  return type == GradientType::bf16 ? "bf16" : "fp32";
}

const char* to_string(LinearProduct product) {
  switch (product) {
    case LinearProduct::forward: return "forward";
    case LinearProduct::input_gradient: return "input_gradient";
    case LinearProduct::weight_gradient: return "weight_gradient";
  }
  return "forward";
}

std::string to_string(const SyncEvery& sync_every) {
  switch (sync_every.kind) {
    case SyncEvery::Kind::epoch: return "epoch";
    case SyncEvery::Kind::end: return "end";
    case SyncEvery::Kind::steps: break;
  }
  return std::to_string(sync_every.steps);
}

}  // namespace lockstep
