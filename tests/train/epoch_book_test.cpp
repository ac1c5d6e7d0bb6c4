// Which epoch is the best, when patience is out, when a target is reached.
#include "train/epoch_book.h"

#include <gtest/gtest.h>

#include <string>

namespace lockstep {
namespace {

using TestPart = EpochBook::TestPart;

EpochRecord evaluated(int64_t epoch, double accuracy, double loss = 1.0) {
  EpochRecord record;
  record.epoch = epoch;
  record.seconds = 1.0;
  record.train_loss = 1.0 / static_cast<double>(epoch);  // always better than before
  record.test = Evaluation{loss, accuracy};
  return record;
}

EpochRecord trained(int64_t epoch, double train_loss) {
  EpochRecord record = evaluated(epoch, 0.0);
  record.train_loss = train_loss;
  record.test.reset();
  return record;
}

// Adds records whose one weight is their epoch's number.
void add(EpochBook& book, const EpochRecord& record) {
  const float value = static_cast<float>(record.epoch);
  book.add(record, std::span(&value, 1));
}

TEST(EpochBook, PatienceCountsEvaluationsWithoutABetterOne) {
  Config config;
  config.patience = 2;
  EpochBook book(config, TestPart::yes);
  add(book, evaluated(1, 0.5));
  add(book, evaluated(2, 0.4));
  EXPECT_EQ(book.stop_reason(), "");
  add(book, evaluated(3, 0.6));
  add(book, evaluated(4, 0.6));
  EXPECT_EQ(book.stop_reason(), "");
  add(book, evaluated(5, 0.5));
  EXPECT_EQ(book.stop_reason(), "no better epoch since epoch 3 (patience 2)");
}

TEST(EpochBook, EpochsWithoutAnEvaluationUseUpNoPatience) {
  Config config;
  config.patience = 2;
  EpochBook book(config, TestPart::yes);
  int64_t epoch = 0;
  for (const double accuracy : {0.5, 0.6, 0.6, 0.6}) {
    EXPECT_EQ(book.stop_reason(), "") << "after epoch " << epoch;
    for (int i = 0; i < 4; ++i) add(book, trained(++epoch, 9.0));
    EXPECT_EQ(book.stop_reason(), "") << "after epoch " << epoch;
    add(book, evaluated(++epoch, accuracy));
  }
  EXPECT_EQ(book.stop_reason(), "no better epoch since epoch 10 (patience 2)");
}

TEST(EpochBook, WithoutATestPartTheTrainingLossDecides) {
  Config config;
  config.patience = 1;
  EpochBook book(config, TestPart::no);
  add(book, trained(1, 0.5));
  add(book, trained(2, 0.4));
  EXPECT_EQ(book.stop_reason(), "");
  add(book, trained(3, 0.4));
  EXPECT_EQ(book.stop_reason(), "no better epoch since epoch 2 (patience 1)");
}

TEST(EpochBook, KeepsTheWeightsOfTheHighestAccuracyThenOfTheLowestLoss) {
  Config config;
  config.keep_best = true;
  EpochBook book(config, TestPart::yes);
  const auto kept_after = [&](const EpochRecord& record) {
    add(book, record);
    return book.best_values().empty() ? 0.0f : book.best_values()[0];
  };
  EXPECT_EQ(kept_after(trained(1, 0.1)), 0.0f);  // not evaluated
  EXPECT_EQ(kept_after(evaluated(2, 0.5, 1.0)), 2.0f);
  EXPECT_EQ(kept_after(evaluated(3, 0.5, 0.9)), 3.0f);
  EXPECT_EQ(kept_after(evaluated(4, 0.5, 0.9)), 3.0f);
  EXPECT_EQ(kept_after(evaluated(5, 0.4, 0.1)), 3.0f);
  EXPECT_EQ(kept_after(evaluated(6, 0.6, 5.0)), 6.0f);
}

TEST(EpochBook, ARestoredHistoryGoesOnWhereItWas) {
  Config config;
  config.keep_best = true;
  config.patience = 2;
  const std::vector<EpochRecord> records = {evaluated(1, 0.5), evaluated(2, 0.4)};
  const float best = 1.0f;
  EpochBook book(config, TestPart::yes);
  book.restore(records, std::span(&best, 1));
  EXPECT_EQ(book.best_values()[0], 1.0f);
  EXPECT_EQ(book.train_seconds(), 2.0);
  add(book, evaluated(3, 0.3));
  EXPECT_EQ(book.stop_reason(), "no better epoch since epoch 1 (patience 2)");
  EXPECT_EQ(book.best_values()[0], 1.0f);
}

TEST(EpochBook, ATargetIsReachedOnceAtTheTimeTrainedSoFar) {
  Config config;
  config.target_accuracy = 0.6;
  EpochBook book(config, TestPart::yes);
  add(book, evaluated(1, 0.59));
  EXPECT_FALSE(book.time_to_target().has_value());
  add(book, evaluated(2, 0.6));
  add(book, evaluated(3, 0.9));
  EXPECT_EQ(book.time_to_target(), 2.0);
  EXPECT_EQ(book.stop_reason(), "");
}

}  // namespace
}  // namespace lockstep
