// lockstep_limits: the machine's limits as one JSON object.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "lockstep/buffer.h"
#include "machine_limits.h"

int main(int argc, char** argv) {
  size_t bytes = 80'000'000;
  double seconds = 0.5;
  std::vector<int> threads = {1, 2};
  CLI::App app("Measures float32 FMA peak (GFLOP/s) and plain read bandwidth (GB/s).");
  app.add_option("--bytes", bytes, "Size of the buffer that is read")->capture_default_str();
  app.add_option("--seconds", seconds, "Time for each measurement")->capture_default_str();
  app.add_option("--threads", threads, "Thread counts")->delimiter(',')->capture_default_str();
  CLI11_PARSE(app, argc, argv);

  lockstep::Buffer<float> buffer(std::max<size_t>(bytes / sizeof(float), 1024));
  std::fill(buffer.begin(), buffer.end(), 1.0f);  // a page that was never written is not memory
  nlohmann::json peaks, reads;
  for (const int count : threads) {
    peaks[std::to_string(count)] = lockstep::bench::fma_peak(count, seconds);
    reads[std::to_string(count)] = lockstep::bench::read_bandwidth(buffer.span(), count, seconds);
  }
  const nlohmann::json document = {{"instruction_set", lockstep::bench::instruction_set()},
                                   {"fma_gflops", peaks},
                                   {"read_gbytes_per_second", reads},
                                   {"read_bytes", buffer.size() * sizeof(float)}};
  std::printf("%s\n", document.dump(2).c_str());
  return 0;
}
