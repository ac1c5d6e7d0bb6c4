// Numbers and tables as people read them.
#include "report/format.h"

#include <gtest/gtest.h>

#include "report/table.h"

namespace lockstep {
namespace {

TEST(Format, seconds_take_the_unit_that_fits) {
  EXPECT_EQ(format_seconds(0.0), "0 s");
  EXPECT_EQ(format_seconds(0.000187), "187 us");
  EXPECT_EQ(format_seconds(0.00124), "1.24 ms");
  EXPECT_EQ(format_seconds(0.1), "100 ms");
  EXPECT_EQ(format_seconds(12.345), "12.3 s");
  EXPECT_EQ(format_seconds(750.0), "12 min 30 s");
  EXPECT_EQ(format_seconds(7500.0), "2 h 5 min");
}

TEST(Format, rounding_never_shows_a_thousand_of_a_unit) {
  EXPECT_EQ(format_seconds(0.99949), "999 ms");
  EXPECT_EQ(format_seconds(0.9996), "1.00 s");
  EXPECT_EQ(format_count(999.6), "1.00 k");
  EXPECT_EQ(format_count(999600.0), "1.00 M");
}

TEST(Format, counts_and_bytes_scale_by_thousands) {
  EXPECT_EQ(format_count(0.0), "0");
  EXPECT_EQ(format_count(512.0), "512");
  EXPECT_EQ(format_count(117345.0), "117 k");
  EXPECT_EQ(format_count(48.12e6), "48.1 M");
  EXPECT_EQ(format_bytes(1536.0), "1.54 kB");
  EXPECT_EQ(format_bytes(2.5e9), "2.50 GB");
}

TEST(Format, integers_are_grouped) {
  EXPECT_EQ(format_integer(0), "0");
  EXPECT_EQ(format_integer(999), "999");
  EXPECT_EQ(format_integer(1000), "1,000");
  EXPECT_EQ(format_integer(235146), "235,146");
  EXPECT_EQ(format_integer(-1234567), "-1,234,567");
  EXPECT_EQ(format_integer(-100), "-100");
}

TEST(Table, aligns_columns_and_leaves_no_trailing_blanks) {
  Table table;
  table.add_column("mode", Align::left);
  table.add_column("time");
  table.add_row({"serial", "1 s"});
  table.add_row({"x", "12.5 s"});
  EXPECT_EQ(table.text(),
            "mode      time\n"
            "serial     1 s\n"
            "x       12.5 s\n");
}

TEST(Table, a_note_does_not_widen_columns) {
  Table table;
  table.add_column("mode", Align::left);
  table.add_column("time");
  table.add_row({"serial", "1 s"});
  table.add_note("hogwild:2", "not run: a long reason");
  EXPECT_EQ(table.text(),
            "mode       time\n"
            "serial      1 s\n"
            "hogwild:2  not run: a long reason\n");
}

TEST(Table, letters_count_not_bytes) {
  EXPECT_EQ(display_width("\xC3\xA9t\xC3\xA9"), 3u);
}

}  // namespace
}  // namespace lockstep
