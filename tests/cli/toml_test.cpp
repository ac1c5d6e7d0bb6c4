// TOML files: what they may hold, what is refused and where, and that config.toml gives the same
// settings again.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/experiments.h"
#include "cli/toml_file.h"
#include "lockstep/error.h"
#include "study/plan.h"

namespace lockstep::cli {
namespace {

using testing::HasSubstr;

Settings settings_of(const std::string& text) {
  Settings settings;
  apply_values(read_toml(text, "job.toml", settings), settings);
  return settings;
}

std::string refusal(const std::string& text) {
  try {
    settings_of(text);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::usage);
    return std::string(error.what()) + " | " + error.remedy();
  }
  return "accepted";
}

TEST(Toml, takes_numbers_texts_lists_and_switches) {
  const Settings settings = settings_of(R"(
epochs = 3
lr = 0.5
hidden = [512, 256]
deterministic = true
data = "mnist"
weight-decay = 1e-5
)");
  EXPECT_EQ(settings.config.epochs, 3);
  EXPECT_EQ(settings.config.optimizer.learning_rate, 0.5);
  EXPECT_EQ(settings.config.model.hidden, (std::vector<int64_t>{512, 256}));
  EXPECT_TRUE(settings.config.deterministic);
  EXPECT_EQ(settings.config.data.data, "mnist");
  EXPECT_EQ(settings.config.optimizer.weight_decay, 1e-5);
}

TEST(Toml, an_unknown_key_names_line_and_nearest) {
  EXPECT_THAT(refusal("epochs = 3\nbatchsize = 4\n"),
              HasSubstr("job.toml, line 2: unknown key 'batchsize' | did you mean 'batch-size'?"));
  EXPECT_THAT(refusal("titel = 'x'\n"), HasSubstr("did you mean 'title'?"));
  EXPECT_THAT(refusal("batch_size = 4\n"), HasSubstr("did you mean 'batch-size'?"));
}

TEST(Toml, a_bad_value_names_its_line) {
  EXPECT_THAT(refusal("\nepochs = 'x'\n"), HasSubstr("job.toml, line 2: epochs: 'x' is not"));
  EXPECT_THAT(refusal("epochs = { a = 1 }\n"), HasSubstr("line 1"));
  EXPECT_THAT(refusal("title = 3\n"), HasSubstr("'title' is not a text"));
}

TEST(Toml, broken_syntax_names_its_line) {
  EXPECT_THAT(refusal("epochs = 3\nlr = = 4\n"), HasSubstr("job.toml, line 2"));
}

TEST(Toml, mode_tables_have_options_of_their_own) {
  const Settings settings = settings_of(R"(
modes = ["serial"]
[[mode]]
mode = "sync:2"
allreduce = "ring"
[[mode]]
mode = "sync:2"
name = "central"
allreduce = "central"
)");
  EXPECT_EQ(settings.modes, std::vector<std::string>{"serial"});
  ASSERT_EQ(settings.mode_tables.size(), 2u);
  EXPECT_EQ(settings.mode_tables[0].options.size(), 1u);
  EXPECT_EQ(settings.mode_tables[1].name, "central");
}

TEST(Toml, a_bad_mode_table_names_its_line) {
  EXPECT_THAT(refusal("[[mode]]\nallreduce = 'ring'\n"), HasSubstr("without 'mode'"));
  EXPECT_THAT(refusal("[[mode]]\nmode = 'sync:2'\nalreduce = 'ring'\n"),
              HasSubstr("line 3: unknown key 'alreduce' | did you mean 'allreduce'?"));
  EXPECT_THAT(refusal("[[mode]]\nmode = 'sync:2'\nallreduce = 'rang'\n"), HasSubstr("line 3"));
  EXPECT_THAT(refusal("mode = 'sync:2'\n"), HasSubstr("write [[mode]]"));
}

TEST(Toml, what_is_written_gives_the_same_settings) {
  Settings settings = settings_of(R"(
data = 'csv:a "quoted" name.csv'
hidden = [7]
schedule = "step:3:0.25"
bucket-mb = inf
sync-every = "epoch"
seed = "18446744073709551615"
per-worker-batch = 8
modes = ["serial", "sync:2"]
workers-list = [1, 2]
[[mode]]
mode = "sync:2"
name = "x \\ y"
allreduce = "ring"
)");
  const std::string text = write_toml(settings, kTraining, "a comment");
  const Settings again = settings_of(text);
  EXPECT_EQ(config_json(again, kTraining), config_json(settings, kTraining)) << text;
  ASSERT_EQ(again.mode_tables.size(), 1u);
  EXPECT_EQ(again.mode_tables[0].name, settings.mode_tables[0].name);
  EXPECT_EQ(again.mode_tables[0].options, settings.mode_tables[0].options);
}

TEST(Experiments, are_all_found_by_name_and_can_be_resolved) {
  ASSERT_EQ(experiments().size(), 4u);
  for (const Experiment& experiment : experiments()) {
    Settings settings;
    apply_values(read_experiment(std::string(experiment.name), settings), settings);
    EXPECT_FALSE(settings.title.empty()) << experiment.name;
    EXPECT_TRUE(settings.published.contains("log")) << experiment.name;
    for (const std::string& text : settings.modes) {
      const Mode mode = parse_mode(text);
      EXPECT_NO_THROW(resolve(config_for_mode(settings.config, mode), 1000000))
          << experiment.name << " " << text;
    }
  }
}

TEST(Experiments, an_unknown_name_suggests_the_nearest) {
  Settings settings;
  try {
    read_experiment("mlp-mnits", settings);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.remedy(), "did you mean 'mlp-mnist'?");
  }
}

TEST(Experiments, logistic_1m_is_the_published_job) {
  Settings settings;
  apply_values(read_experiment("logistic-1m", settings), settings);
  const Config config = config_for_mode(settings.config, parse_mode("sync:4"));
  const Resolved run = resolve(config, 1000000);
  EXPECT_EQ(run.global_batch, 32768);
  EXPECT_EQ(run.learning_rate_scale, 4.0);
  EXPECT_TRUE(run.warnings.empty());
  // 31 global batches an epoch: the 248 synchronisations of the published log.
  EXPECT_EQ(settings.published["synchronisations"], 8 * ((1000000 + 32767) / 32768));
}

}  // namespace
}  // namespace lockstep::cli
