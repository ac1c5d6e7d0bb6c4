// What launchers leave in the environment: a start that would train several times alone is refused.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/process.h"

namespace lockstep::testing {
namespace {

using ::testing::HasSubstr;

struct Start {
  Words environment;
  const char* message;
  const char* remedy;
};

TEST(Launch, that_cannot_connect_its_processes_is_refused_with_the_remedy) {
  const Start starts[] = {
      {{"RANK=0"}, "RANK is set and WORLD_SIZE is not", "set both"},
      {{"WORLD_SIZE=2"}, "WORLD_SIZE is set and RANK is not", "set both"},
      {{"RANK=2", "WORLD_SIZE=2"}, "ranks are counted from 0", "below WORLD_SIZE"},
      {{"RANK=x", "WORLD_SIZE=2"}, "RANK=x: not a whole number", "unset RANK"},
      {{"RANK=0", "WORLD_SIZE=2", "LOCAL_RANK=0"}, "torchrun started 2 processes", "mpirun -n 2"},
      {{"SLURM_STEP_NUM_TASKS=4", "SLURM_PROCID=1"}, "srun started 4 processes", "srun --mpi=pmix"},
  };
  for (const Start& start : starts) {
    const ProcessResult result = run_program({"train", "--epochs", "1"}, start.environment);
    EXPECT_EQ(result.exit_code, 2) << result.err;
    EXPECT_THAT(result.err, HasSubstr(start.message));
    EXPECT_THAT(result.err, HasSubstr(start.remedy));
  }
}

TEST(Launch, of_one_process_trains) {
  for (const Words& environment :
       {Words{"RANK=0", "WORLD_SIZE=1"}, Words{"SLURM_STEP_NUM_TASKS=1", "SLURM_PROCID=0"},
        Words{"OMPI_COMM_WORLD_SIZE=1", "OMPI_COMM_WORLD_RANK=0"}}) {
    EXPECT_EQ(run_program({"train", "--epochs", "1"}, environment).exit_code, 0);
  }
}

TEST(Launch, an_error_goes_to_the_file_that_torchrun_shows) {
  const TemporaryFolder folder;
  const std::string file = folder.file("error.json");
  const ProcessResult result =
      run_program({"train", "--lr", "-1"}, {"TORCHELASTIC_ERROR_FILE=" + file});
  EXPECT_EQ(result.exit_code, 2);
  const auto document = nlohmann::json::parse(read_file(file));
  EXPECT_THAT(std::string(document["message"]["message"]), HasSubstr("--lr -1"));
  EXPECT_TRUE(document["message"]["extraInfo"]["timestamp"].is_string());
}

}  // namespace
}  // namespace lockstep::testing
