// Which device a run takes: the part of the choice that knows no CUDA.
#include "lockstep/device.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <numeric>
#include <string_view>

#include "backend/cuda_backend.h"
#include "lockstep/backend.h"
#include "train/nearest.h"

namespace lockstep {

namespace {

[[noreturn]] void refuse(const std::string& device, const std::string& what, std::string remedy) {
  throw Error(ErrorKind::usage, fmt::format("--device {}: {}", device, what), std::move(remedy));
}

std::vector<int> parse_indices(const std::string& device, std::string_view list) {
  std::vector<int> indices;
  while (true) {
    const size_t comma = list.find(',');
    const std::string_view part = list.substr(0, comma);
    int index = 0;
    const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), index);
    if (error != std::errc{} || end != part.data() + part.size() || index < 0) {
      refuse(device, fmt::format("'{}' is not the number of a GPU", part),
             "GPUs are counted from 0: cuda:0, or cuda:0,1 for two workers");
    }
    if (std::ranges::find(indices, index) != indices.end()) {
      refuse(device, fmt::format("GPU {} stands there twice", index), "each worker needs its own");
    }
    indices.push_back(index);
    if (comma == std::string_view::npos) return indices;
    list.remove_prefix(comma + 1);
  }
}

std::string gpus(int count) {
  return count == 1 ? "1 GPU" : fmt::format("{} GPUs", count);
}

Error named(const std::string& device, const GpuDiagnosis& diagnosis) {
  return {ErrorKind::device, fmt::format("--device {}: {}", device, diagnosis.message),
          diagnosis.remedy};
}

// Of the GPUs that the processes of a machine share, those whose turn it is.
std::vector<int> take_turn(const std::vector<int>& shared, const std::string& device, int workers,
                           LocalPlace place) {
  const int have = static_cast<int>(shared.size());
  if (have == workers) return shared;
  const int first = place.index * workers;
  if (first + workers > have) {
    throw Error(
        ErrorKind::device,
        fmt::format("--device {}: {} ranks of this machine with {} worker{} each need {}, "
                    "and there {}",
                    device, place.count, workers, workers == 1 ? "" : "s",
                    gpus(place.count * workers), have == 1 ? "is 1" : fmt::format("are {}", have)),
        have < workers ? fmt::format("use --workers {} at most", have)
                       : fmt::format("start at most {} rank{} a machine", have / workers,
                                     have / workers == 1 ? "" : "s"));
  }
  return {shared.begin() + first, shared.begin() + first + workers};
}

// The GPUs of `workers` workers. Throws Error where there are none such.
std::vector<int> gpus_for(const DeviceRequest& request, const std::string& device, int workers,
                          LocalPlace place) {
  const GpuSurvey& survey = survey_gpus();
  if (!survey.diagnosis.usable()) throw named(device, survey.diagnosis);
  const int count = static_cast<int>(survey.gpus.size());
  std::vector<int> chosen = request.gpus;
  if (chosen.empty()) {
    chosen.resize(place.count > 1 ? count : std::min(workers, count));
    std::iota(chosen.begin(), chosen.end(), 0);
  }
  if (place.count > 1) chosen = take_turn(chosen, device, workers, place);
  for (const int index : chosen) {
    if (index < count) continue;
    throw Error(ErrorKind::device,
                fmt::format("--device {}: there is no GPU {}, this machine has {}", device, index,
                            gpus(count)),
                fmt::format("they are counted from 0: the last is cuda:{}", count - 1));
  }
  const int have = static_cast<int>(chosen.size());
  if (have < workers) {
    throw Error(
        ErrorKind::device,
        fmt::format("--device {} with {} workers: each needs a GPU of its own, and it gives {}",
                    device, workers, gpus(have)),
        fmt::format("use --workers {}, or --device cpu", have));
  }
  if (have > workers) {
    refuse(device, fmt::format("{} for {} worker{}", gpus(have), workers, workers == 1 ? "" : "s"),
           fmt::format("add --workers {}", have));
  }
  return chosen;
}

std::string canonical_name(const DeviceRequest& request) {
  if (request.gpus.empty()) return "cuda";
  return fmt::format("cuda:{}", fmt::join(request.gpus, ","));
}

DeviceChoice choose_gpus(const DeviceRequest& request, const std::string& device, int workers,
                         LocalPlace place) {
  DeviceChoice choice;
  choice.gpus = gpus_for(request, device, workers, place);
  choice.emulated = survey_gpus().emulated;
  choice.name = canonical_name(request);
  for (const int index : choice.gpus) {
    const GpuDiagnosis diagnosis = probe_gpu(index);
    if (!diagnosis.usable()) throw named(device, diagnosis);
  }
  return choice;
}

// A GPU only where one can be trained on: not an emulated one, which is slower than any CPU.
DeviceChoice choose_automatically(int workers, LocalPlace place) {
  DeviceChoice cpu;
  const GpuSurvey& survey = survey_gpus();
  if (!survey.diagnosis.usable()) {
    cpu.reason = fmt::format("the CPU, since {}", survey.diagnosis.message);
    return cpu;
  }
  if (survey.emulated) {
    cpu.reason = "the CPU, since the GPUs are emulated";
    return cpu;
  }
  if (!cuda_backend_is_proven()) {
    cpu.reason = fmt::format(
        "the CPU, since this version's code for GPUs has only been emulated; --device cuda tries "
        "it ({}: {})",
        gpus(static_cast<int>(survey.gpus.size())), survey.gpus[0].name);
    return cpu;
  }
  try {
    DeviceChoice choice = choose_gpus({DeviceRequest::Kind::cuda, {}}, "cuda", workers, place);
    choice.reason = fmt::format("{}: {}", choice.name, survey.gpus[0].name);
    return choice;
  } catch (const Error& error) {
    cpu.reason = fmt::format("the CPU, since {}", error.what());
    return cpu;
  }
}

}  // namespace

Error GpuDiagnosis::error() const {
  return {ErrorKind::device, message, remedy};
}

std::string Gpu::capability() const {
  return fmt::format("{}.{}", major, minor);
}

Error gpu_out_of_memory(int index, const std::string& what, int64_t needed, int64_t free) {
  constexpr int64_t kMegabyte = 1'000'000;
  const auto size = [](int64_t bytes) {
    return bytes < kMegabyte ? fmt::format("{} bytes", bytes)
                             : fmt::format("{:.1f} MB", static_cast<double>(bytes) / kMegabyte);
  };
  return {ErrorKind::device,
          fmt::format("GPU {}: {} needs {} of its memory, {} are free", index, what,
                      needed > 0 ? size(needed) : "more", size(free)),
          "use a smaller batch or model, or end the programs that hold the memory (`nvidia-smi` "
          "names them)"};
}

DeviceRequest parse_device(const std::string& text) {
  constexpr std::string_view kNumbered = "cuda:";
  if (text == "auto") return {};
  if (text == "cpu") return {DeviceRequest::Kind::cpu, {}};
  if (text == "cuda") return {DeviceRequest::Kind::cuda, {}};
  if (text.starts_with(kNumbered)) {
    return {DeviceRequest::Kind::cuda,
            parse_indices(text, std::string_view(text).substr(kNumbered.size()))};
  }
  if (text == "mpi") {
    throw Error(ErrorKind::usage, "--device mpi: ranks are started by mpirun, on any device",
                "use mpirun -n N lockstep train, or compare --modes sync:N@mpi");
  }
  refuse(text, "no such device", suggestion(text, {"auto", "cpu", "cuda"}));
}

std::unique_ptr<Backend> make_backend(const DeviceChoice& choice, int rank) {
  return choice.on_gpu() ? make_cuda_backend(choice.gpus.at(rank)) : make_cpu_backend();
}

DeviceChoice choose_device(const std::string& device, int workers, LocalPlace place) {
  const DeviceRequest request = parse_device(device);
  switch (request.kind) {
    case DeviceRequest::Kind::cpu: return {};
    case DeviceRequest::Kind::automatic: return choose_automatically(workers, place);
    case DeviceRequest::Kind::cuda: break;
  }
  return choose_gpus(request, device, workers, place);
}

}  // namespace lockstep
