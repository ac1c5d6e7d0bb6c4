// lockstep eval and predict as processes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>

#include "cli/process.h"
#include "cli/schema.h"

namespace lockstep::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

// Two classes with text labels, separated by the sum of two features.
std::string two_class_csv(bool with_labels) {
  std::string text = with_labels ? "a,b,label\n" : "a,b\n";
  for (int i = 0; i < 60; ++i) {
    const int a = i * 7 % 20 - 10, b = i * 11 % 20 - 10;
    text += std::to_string(a) + "," + std::to_string(b);
    if (with_labels) text += a + b > 0 ? ",yes" : ",no";
    text += "\n";
  }
  return text;
}

class ModelCommands : public ::testing::Test {
 protected:
  void train(Words arguments) {
    arguments.insert(arguments.begin(), {"train", "--out", model_});
    const ProcessResult result = run_program(arguments);
    ASSERT_EQ(result.exit_code, 0) << result.err;
  }

  TemporaryFolder folder_;
  std::string model_ = folder_.file("run");
};

TEST_F(ModelCommands, eval_agrees_with_the_run_that_made_the_model) {
  train({"--epochs", "2"});
  const nlohmann::json result = nlohmann::json::parse(read_file(model_ + "/result.json"));
  const ProcessResult eval =
      run_program({"eval", "--checkpoint", model_, "--data", "digits", "--json"});
  EXPECT_EQ(eval.exit_code, 0) << eval.err;
  const nlohmann::json document = eval.document();
  EXPECT_THAT(schema_errors(document), IsEmpty());
  const nlohmann::json& evaluation = document["evaluation"];
  EXPECT_EQ(evaluation["accuracy"], result["runs"][0]["final"]["test_accuracy"]);
  EXPECT_TRUE(evaluation["auc"].is_null());

  int64_t total = 0, diagonal = 0;
  for (size_t t = 0; t < 10; ++t) {
    for (size_t p = 0; p < 10; ++p) {
      const int64_t count = evaluation["confusion"][t][p];
      total += count;
      diagonal += t == p ? count : 0;
    }
  }
  EXPECT_EQ(total, document["data"]["train_samples"]);
  EXPECT_DOUBLE_EQ(static_cast<double>(diagonal) / static_cast<double>(total),
                   evaluation["accuracy"].get<double>());
}

TEST_F(ModelCommands, two_classes_have_an_auc) {
  const std::string data = folder_.write("train.csv", two_class_csv(true));
  train({"--data", "csv:" + data, "--model", "logistic", "--epochs", "50", "--batch-size", "10"});
  const ProcessResult eval = run_program({"eval", "--checkpoint", model_, "--data", "csv:" + data});
  EXPECT_EQ(eval.exit_code, 0) << eval.err;
  EXPECT_THAT(eval.out, HasSubstr("AUC 1.0000"));
  EXPECT_THAT(eval.out, HasSubstr("yes"));
}

TEST_F(ModelCommands, predict_takes_data_without_labels) {
  const std::string data = folder_.write("train.csv", two_class_csv(true));
  const std::string fresh = folder_.write("new.csv", two_class_csv(false));
  train({"--data", "csv:" + data, "--model", "logistic", "--epochs", "50", "--batch-size", "10"});
  const Words predict = {"predict", "--checkpoint", model_ + "/model.safetensors", "--data",
                         "csv:" + fresh + ",label=none"};
  const ProcessResult shown = run_program(predict);
  EXPECT_EQ(shown.exit_code, 0) << shown.err;
  EXPECT_EQ(std::ranges::count(shown.out, '\n'), 61);
  EXPECT_THAT(shown.out, HasSubstr("prediction,p_no,p_yes\n"));

  // The predictions are the labels: the classes are separable and the model found the line.
  std::istringstream truth(two_class_csv(true)), predicted(shown.out);
  std::string expected, line;
  int agreeing = 0;
  while (std::getline(truth, expected) && std::getline(predicted, line)) {
    agreeing += expected.substr(expected.rfind(',') + 1) == line.substr(0, line.find(','));
  }
  EXPECT_GE(agreeing, 58);

  Words to_file = predict;
  to_file.insert(to_file.end(), {"--output", folder_.file("p.csv")});
  EXPECT_EQ(run_program(to_file).exit_code, 0);
  EXPECT_EQ(read_file(folder_.file("p.csv")), shown.out);

  Words as_json = predict;
  as_json.push_back("--json");
  const nlohmann::json document = run_program(as_json).document();
  EXPECT_THAT(schema_errors(document), IsEmpty());
  EXPECT_EQ(document["predictions"]["rows"].size(), 60u);
}

TEST_F(ModelCommands, data_with_other_columns_are_refused) {
  train({"--epochs", "1"});
  const std::string data = folder_.write("train.csv", two_class_csv(true));
  const ProcessResult eval = run_program({"eval", "--checkpoint", model_, "--data", "csv:" + data});
  EXPECT_EQ(eval.exit_code, 3);
  EXPECT_THAT(eval.err, HasSubstr("64"));
}

}  // namespace
}  // namespace lockstep::testing
