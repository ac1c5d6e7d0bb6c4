// Mode strings and "did you mean".
#include <gtest/gtest.h>

#include "lockstep/config.h"
#include "lockstep/error.h"
#include "train/nearest.h"

namespace lockstep {
namespace {

std::string canonical(const std::string& text) {
  const Mode mode = parse_mode(text);
  return mode_name(*mode.strategy, mode.workers.value_or(1), mode.sync_every.value_or(SyncEvery{}));
}

TEST(Modes, canonical_strings_survive_parsing) {
  for (const char* text : {"serial", "sync:2", "hogwild:16", "local-sgd:2:8", "local-sgd:4:epoch",
                           "local-sgd:2:end"}) {
    EXPECT_EQ(canonical(text), text);
  }
}

TEST(Modes, device_is_cpu_unless_given) {
  EXPECT_EQ(parse_mode("sync:2").device, "cpu");
  EXPECT_EQ(parse_mode("sync:4@cuda").device, "cuda");
  EXPECT_EQ(parse_mode("sync:4@mpi").device, "mpi");
  EXPECT_EQ(canonical("sync:2@cpu"), "sync:2");
}

TEST(Modes, cuda_alone_is_serial_on_cuda) {
  const Mode mode = parse_mode("cuda");
  EXPECT_EQ(*mode.strategy, Strategy::serial);
  EXPECT_EQ(mode.device, "cuda");
}

void expect_usage_error(const std::string& text, const std::string& in_message_or_remedy) {
  try {
    parse_mode(text);
    FAIL() << text << " was accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::usage);
    const std::string all = std::string(error.what()) + " | " + error.remedy();
    EXPECT_NE(all.find(text), std::string::npos) << all;
    EXPECT_NE(all.find(in_message_or_remedy), std::string::npos) << all;
  }
}

TEST(Modes, a_malformed_mode_is_refused_with_what_is_wrong) {
  expect_usage_error("", "not a strategy");
  expect_usage_error("snyc:2", "did you mean 'sync'?");
  expect_usage_error("sync:0", "'0' is not a number of workers");
  expect_usage_error("sync:-1", "'-1' is not a number of workers");
  expect_usage_error("sync:2x", "'2x' is not a number of workers");
  expect_usage_error("sync:99999999999999999999", "is not a number of workers");
  expect_usage_error("sync:", "nothing stands behind");
  expect_usage_error("local-sgd:2:", "nothing stands behind");
  expect_usage_error("local-sgd:2:0", "the sync period '0'");
  expect_usage_error("local-sgd:2:8:9", "the sync period '8:9'");
  expect_usage_error("sync:2:8", "only local-sgd has a sync period");
  expect_usage_error("serial:2", "serial has one worker");
  expect_usage_error("sync:2@gpu", "'gpu' is not a device");
  expect_usage_error("cuda:2", "sync:2@cuda");
}

TEST(Nearest, counts_edits_and_swaps_of_neighbours) {
  EXPECT_EQ(edit_distance("", ""), 0);
  EXPECT_EQ(edit_distance("", "abc"), 3);
  EXPECT_EQ(edit_distance("epochs", "epoch"), 1);
  EXPECT_EQ(edit_distance("snyc", "sync"), 1);
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3);
}

TEST(Nearest, finds_the_name_that_was_meant_and_nothing_when_none_is_near) {
  const std::vector<std::string> names = {"batch-size", "epochs", "momentum"};
  EXPECT_EQ(nearest("batchsize", names), "batch-size");
  EXPECT_EQ(nearest("epcohs", names), "epochs");
  EXPECT_FALSE(nearest("zzz", names).has_value());
  EXPECT_EQ(suggestion("zzz", names), "expected one of: batch-size, epochs, momentum");
}

}  // namespace
}  // namespace lockstep
