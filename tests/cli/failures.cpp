#include "cli/failures.h"

#include <gmock/gmock.h>

#include "cli/schema.h"

namespace lockstep::testing {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

void expect_failure(const Failure& failing) {
  std::string line;
  for (const std::string& word : failing.arguments) line += word + " ";
  SCOPED_TRACE(line);
  const ProcessResult plain = run_program(failing.arguments);
  EXPECT_EQ(plain.exit_code, failing.exit_code) << plain.err;
  EXPECT_THAT(plain.err, HasSubstr(failing.names));
  EXPECT_THAT(plain.out, IsEmpty());

  Words with_json = failing.arguments;
  with_json.push_back("--json");
  const ProcessResult result = run_program(with_json);
  EXPECT_EQ(result.exit_code, failing.exit_code);
  const nlohmann::json document = result.document();
  EXPECT_THAT(schema_errors(document), IsEmpty());
  EXPECT_NE(document["status"], "ok");
  ASSERT_TRUE(document["error"].is_object());
  ASSERT_TRUE(document["error"]["remedy"].is_string()) << "no remedy: " << document["error"];
  const std::string message = document["error"]["message"];
  const std::string remedy = document["error"]["remedy"];
  EXPECT_THAT(message + " " + remedy, HasSubstr(failing.names));
  EXPECT_THAT(remedy, Not(IsEmpty()));
}

}  // namespace lockstep::testing
