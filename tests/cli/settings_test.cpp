// The table of options: values, precedence of sources, suggestions.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <limits>
#include <set>

#include "cli/command_line.h"
#include "cli/job.h"
#include "cli/options.h"
#include "cli/sources.h"
#include "lockstep/error.h"

namespace lockstep::cli {
namespace {

using testing::HasSubstr;

// A LOCKSTEP_* variable for one test.
class Variable {
 public:
  Variable(const char* name, const char* value) : name_(name) { setenv(name, value, 1); }
  ~Variable() { unsetenv(name_); }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;

 private:
  const char* name_;
};

Settings set(const std::string& key, const std::string& text) {
  Settings settings;
  apply_values({{key, text, "--" + key}}, settings);
  return settings;
}

std::string refusal(const std::string& key, const std::string& text) {
  try {
    set(key, text);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::usage);
    return std::string(error.what()) + " | " + error.remedy();
  }
  return "accepted";
}

Invocation parse(std::vector<const char*> words) {
  words.insert(words.begin(), "lockstep");
  return parse_command_line(static_cast<int>(words.size()), words.data());
}

std::string parse_refusal(std::vector<const char*> words) {
  try {
    parse(std::move(words));
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::usage);
    return std::string(error.what()) + " | " + error.remedy();
  }
  return "accepted";
}

TEST(Options, keys_are_unique_and_every_row_is_whole) {
  std::set<std::string> keys;
  for (const Option& option : options()) {
    EXPECT_TRUE(keys.insert(option.key).second) << option.key;
    EXPECT_FALSE(option.help.empty()) << option.key;
    EXPECT_TRUE(option.excludes.empty() || find_option(option.excludes)) << option.key;
  }
}

TEST(Options, a_saved_value_read_back_is_the_same_value) {
  const Settings defaults;
  for (const Option& option : options()) {
    const Json value = option.get(defaults);
    if (!option.saved || value.is_null()) continue;
    Settings again;
    const GivenValues values = values_of_config(Json{{json_name(option.key), value}}.dump());
    ASSERT_EQ(values.size(), 1u) << option.key;
    apply_values(values, again);
    EXPECT_EQ(option.get(again), value) << option.key;
  }
}

TEST(Options, values_of_every_kind_are_read) {
  EXPECT_EQ(set("hidden", "512,256,128").config.model.hidden,
            (std::vector<int64_t>{512, 256, 128}));
  EXPECT_EQ(set("seed", "18446744073709551615").config.seed, std::numeric_limits<uint64_t>::max());
  EXPECT_EQ(set("sync-every", "epoch").config.sync_every.kind, SyncEvery::Kind::epoch);
  EXPECT_EQ(set("sync-every", "16").config.sync_every.steps, 16);
  EXPECT_TRUE(set("checkpoint-every", "200s").config.checkpoint_every.in_steps);
  EXPECT_EQ(set("schedule", "step:30:0.5").config.schedule.step_factor, 0.5);
  EXPECT_EQ(set("schedule", "step:30").config.schedule.step_epochs, 30);
  EXPECT_FALSE(set("bucket-mb", "auto").config.bucket_mb.has_value());
  EXPECT_EQ(*set("bucket-mb", "0").config.bucket_mb, 0.0);
  EXPECT_EQ(*set("bucket-mb", "inf").config.bucket_mb, std::numeric_limits<double>::infinity());
  EXPECT_GE(set("workers", "all").config.workers, 1);
  EXPECT_EQ(set("sync-state", "private").config.sync_state, SyncState::priv);
  EXPECT_EQ(set("modes", "serial,sync:2").modes, (std::vector<std::string>{"serial", "sync:2"}));
}

TEST(Options, a_value_of_the_wrong_kind_is_named_with_what_was_expected) {
  EXPECT_THAT(refusal("epochs", "abc"), HasSubstr("--epochs: 'abc' is not a whole number"));
  EXPECT_THAT(refusal("epochs", "1.5"), HasSubstr("'1.5' is not a whole number"));
  EXPECT_THAT(refusal("epochs", ""), HasSubstr("'' is not a whole number"));
  EXPECT_THAT(refusal("lr", "0,1"), HasSubstr("'0,1' is not a number"));
  EXPECT_THAT(refusal("hidden", "256,,128"), HasSubstr("is not a list of whole numbers"));
  EXPECT_THAT(refusal("optimizer", "adma"), HasSubstr("did you mean 'adam'?"));
  EXPECT_THAT(refusal("overlap", "maybe"), HasSubstr("is not one of on, off"));
  EXPECT_THAT(refusal("checkpoint-every", "5m"), HasSubstr("a number of epochs"));
  EXPECT_THAT(refusal("schedule", "step:x"), HasSubstr("step:EPOCHS"));
  EXPECT_THAT(refusal("sync-every", "never"), HasSubstr("a number of global batches"));
  EXPECT_THAT(refusal("seed", "-1"), HasSubstr("is not a whole number"));
}

TEST(CommandLine, reads_options_flags_and_the_argument) {
  const Invocation invocation =
      parse({"train", "mlp-mnist", "--epochs", "3", "--deterministic", "--lr=0.5"});
  EXPECT_EQ(invocation.command->name, "train");
  EXPECT_EQ(invocation.positional, "mlp-mnist");
  Settings settings;
  apply_values(invocation.flags, settings);
  EXPECT_EQ(settings.config.epochs, 3);
  EXPECT_TRUE(settings.config.deterministic);
  EXPECT_EQ(settings.config.optimizer.learning_rate, 0.5);
}

TEST(CommandLine, the_last_of_an_options_values_counts) {
  Settings settings;
  apply_values(parse({"train", "--epochs", "3", "--epochs", "4"}).flags, settings);
  EXPECT_EQ(settings.config.epochs, 4);
}

TEST(CommandLine, an_unknown_name_suggests_the_nearest) {
  EXPECT_THAT(parse_refusal({"trian"}), HasSubstr("did you mean 'train'?"));
  EXPECT_THAT(parse_refusal({"train", "--epohcs", "3"}), HasSubstr("did you mean --epochs?"));
  EXPECT_THAT(parse_refusal({"train", "--batchsize=3"}), HasSubstr("did you mean --batch-size?"));
  EXPECT_THAT(parse_refusal({"train", "--zzzzzzzz"}), HasSubstr("lockstep train --help"));
  EXPECT_THAT(parse_refusal({"train", "--"}), HasSubstr("lockstep train --help"));
  EXPECT_THAT(parse_refusal({"data", "ifno"}), HasSubstr("did you mean 'data info'?"));
  EXPECT_THAT(parse_refusal({"train", "a", "b"}), HasSubstr("unexpected argument 'b'"));
  EXPECT_THAT(parse_refusal({"data", "info"}), HasSubstr("data info needs SPEC"));
  EXPECT_THAT(parse_refusal({"train", "--epochs"}), HasSubstr("--epochs: its value is missing"));
  EXPECT_THAT(parse_refusal({}), HasSubstr("no command"));
}

TEST(CommandLine, options_of_other_commands_are_unknown) {
  EXPECT_THAT(parse_refusal({"train", "--modes", "serial"}), HasSubstr("unknown option --modes"));
  EXPECT_THAT(parse_refusal({"doctor", "--epochs", "3"}), HasSubstr("unknown option --epochs"));
}

TEST(CommandLine, help_names_every_option_of_the_command) {
  for (const CommandSpec& spec : command_specs()) {
    const std::string help = help_text(&spec, 80);
    for (const std::string& key : option_keys(spec.options)) {
      EXPECT_THAT(help, HasSubstr("--" + key)) << spec.name;
    }
  }
}

TEST(CommandLine, help_fits_the_terminal) {
  for (const CommandSpec& spec : command_specs()) {
    std::istringstream lines(help_text(&spec, 80));
    for (std::string line; std::getline(lines, line);) {
      EXPECT_LE(line.size(), line.starts_with("The same") ? 100u : 92u) << line;
    }
  }
}

// Settings as `lockstep train [FILE]` with these flags would see them.
Settings settings_from(std::vector<const char*> words) {
  Session session;
  words.insert(words.begin(), "train");
  session.invocation = parse(std::move(words));
  load_settings(session);
  return session.settings;
}

TEST(Precedence, flag_beats_variable_beats_file_beats_default) {
  EXPECT_EQ(settings_from({}).config.epochs, 10);
  EXPECT_EQ(settings_from({"mlp-adam"}).config.epochs, 5);
  const Variable variable("LOCKSTEP_EPOCHS", "7");
  EXPECT_EQ(settings_from({}).config.epochs, 7);
  EXPECT_EQ(settings_from({"mlp-adam"}).config.epochs, 7);
  EXPECT_EQ(settings_from({"mlp-adam", "--epochs", "9"}).config.epochs, 9);
}

TEST(Precedence, a_stronger_source_replaces_what_its_option_excludes) {
  const Config config = settings_from({"mlp-adam", "--per-worker-batch", "16"}).config;
  EXPECT_EQ(*config.per_worker_batch, 16);
  EXPECT_FALSE(config.batch_size.has_value());
  const Config both = settings_from({"--per-worker-batch", "16", "--batch-size", "32"}).config;
  EXPECT_TRUE(both.per_worker_batch && both.batch_size);  // of equal strength: resolve() refuses
}

TEST(Precedence, a_mistyped_variable_is_an_error_and_a_foreign_one_is_not_ours) {
  {
    const Variable variable("LOCKSTEP_BATCHSIZE", "7");
    EXPECT_THROW(settings_from({}), Error);
  }
  const Variable foreign("LOCKSTEP_BIN", "/usr/bin/lockstep");
  const Variable folder("LOCKSTEP_DATA", "/data");
  EXPECT_EQ(settings_from({}).config.data.data, "digits");
}

TEST(Defaults, adam_has_a_learning_rate_of_its_own) {
  EXPECT_EQ(settings_from({}).config.optimizer.learning_rate, 0.1);
  EXPECT_EQ(settings_from({"--optimizer", "adam"}).config.optimizer.learning_rate, 0.001);
  EXPECT_EQ(settings_from({"--optimizer", "adam", "--lr", "0.1"}).config.optimizer.learning_rate,
            0.1);
}

TEST(Defaults, hidden_layers_of_a_logistic_model_are_an_error) {
  EXPECT_TRUE(settings_from({"--model", "logistic"}).config.model.hidden.empty());
  EXPECT_THROW(settings_from({"--model", "logistic", "--hidden", "8"}), Error);
}

}  // namespace
}  // namespace lockstep::cli
