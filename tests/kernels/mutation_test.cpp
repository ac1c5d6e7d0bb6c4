// Every __syncthreads, __syncwarp, fence and atomic of every kernel is needed: left out, with all
// else as it is, it shows by a race that ThreadSanitizer reports, or by another result. What
// nothing shows is not needed, and does not belong into a kernel.
//
// Without ThreadSanitizer a result must show it, in some order of threads, which only a missing
// __syncthreads is sure to do: blocks run one after the other, and the rest is about memory order.
#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>
#include <regex>
#include <set>

#include "kernels/mutation_cases.h"
#include "kernels/op_fixture.h"
#include "kernels/race_reports.h"

namespace lockstep::testing {
namespace {

constexpr std::uint64_t kSeeds = 40;  // tried until one shows a difference

// One run from a new device on, with `site` left out.
struct Outcome {
  Values values;  // none where the kernel failed
  int races = 0;
  bool operator==(const Outcome& other) const {
    return races == other.races && same_bits(values, other.values);
  }
};

Outcome run_without(const std::string& site, const Case& test, std::uint64_t seed) {
  emulator::reset();
  emulator::set_seed(seed);
  emulator::leave_out(site);
  cudaStream_t stream = nullptr;
  check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "cudaStreamCreate");
  Outcome outcome;
  const int races = race_reports();
  try {
    outcome.values = test.run(stream);
  } catch (const Error&) {
  }
  outcome.races = race_reports() - races;
  return outcome;
}

class MutationTest : public ::testing::TestWithParam<Case> {
 protected:
  void TearDown() override {
    emulator::set_seed(1);
    emulator::reset();
  }
};

TEST_P(MutationTest, nothing_can_be_left_out) {
  const Case& test = GetParam();
  const Outcome right = run_without("", test, 1);
  ASSERT_FALSE(right.values.empty());
  EXPECT_EQ(right.races, 0);
  const std::vector<std::string> sites = emulator::sites_seen();
  ASSERT_FALSE(sites.empty());
  for (const std::string& site : sites) {
    const bool shows_in_values = !test.by_races_alone && site.starts_with("__syncthreads");
    if (!emulator::under_thread_sanitizer() && !shows_in_values) continue;
    std::uint64_t seed = 1;
    while (seed <= kSeeds && run_without(site, test, seed) == right) ++seed;
    EXPECT_LE(seed, kSeeds) << "nothing shows that there is no " << site;
  }
}

INSTANTIATE_TEST_SUITE_P(kernels, MutationTest, ::testing::ValuesIn(all_cases()),
                         [](const auto& test) { return test.param.name; });

// "logistic.cu:89" of every such line in kernels/.
std::set<std::string> sites_in_source() {
  const std::regex statement(
      "^[^/"
      "]*(__syncthreads|__syncwarp|__threadfence|store_release|load_acquire|atomic[A-Z][a-z]+)[a-z_"
      "]*\\(");
  std::set<std::string> sites;
  for (const auto& file : std::filesystem::directory_iterator(LOCKSTEP_KERNELS)) {
    const std::string name = file.path().filename();
    if (name.starts_with("device")) continue;  // what kernels are written in
    std::ifstream lines(file.path());
    std::string line;
    for (int number = 1; std::getline(lines, line); ++number) {
      if (std::regex_search(line, statement)) sites.insert(name + ":" + std::to_string(number));
    }
  }
  return sites;
}

TEST(MutationSites, every_one_in_the_source_is_left_out_in_some_test) {
  std::set<std::string> seen;
  for (const Case& test : all_cases()) {
    (void)run_without("", test, 1);
    for (const std::string& site : emulator::sites_seen()) {
      seen.insert(site.substr(site.find_last_of('/') + 1));
    }
  }
  emulator::reset();
  EXPECT_THAT(seen, ::testing::ContainerEq(sites_in_source()));
}

}  // namespace
}  // namespace lockstep::testing
