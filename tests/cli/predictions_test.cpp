// Predictions as CSV and NPY.
#include "cli/predictions.h"

#include <gtest/gtest.h>

#include <cstring>

#include "lockstep/error.h"

namespace lockstep::cli {
namespace {

const PredictionTable kTable = {{"cat", "a,\"b\""}, {1, 0}, {0.25f, 0.75f, 0.5f, 0.5f}};

TEST(Predictions, csv_quotes_what_needs_it) {
  EXPECT_EQ(csv_text(kTable),
            "prediction,p_cat,\"p_a,\"\"b\"\"\"\n"
            "\"a,\"\"b\"\"\",0.25,0.75\n"
            "cat,0.5,0.5\n");
}

TEST(Predictions, npy_is_aligned_and_holds_the_probabilities) {
  const std::string text = npy_text(kTable);
  EXPECT_EQ(text.substr(0, 8), std::string("\x93NUMPY\x01\x00", 8));
  const size_t header =
      static_cast<unsigned char>(text[8]) + 256u * static_cast<unsigned char>(text[9]);
  EXPECT_EQ((10 + header) % 64, 0u);
  EXPECT_NE(text.find("'shape': (2, 2)"), std::string::npos);
  ASSERT_EQ(text.size(), 10 + header + 4 * sizeof(float));
  float last = 0.0f;
  std::memcpy(&last, text.data() + text.size() - 3 * sizeof(float), sizeof last);
  EXPECT_EQ(last, 0.75f);
}

TEST(Predictions, the_files_ending_says_the_format) {
  EXPECT_EQ(prediction_format(""), PredictionFormat::csv);
  EXPECT_EQ(prediction_format("a.csv"), PredictionFormat::csv);
  EXPECT_EQ(prediction_format("a.npy"), PredictionFormat::npy);
  EXPECT_EQ(prediction_format("/dev/full"), PredictionFormat::csv);
  EXPECT_THROW(prediction_format("a.parquet"), Error);
}

}  // namespace
}  // namespace lockstep::cli
