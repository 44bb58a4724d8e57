// meshgatectl commit, and the words of its lines.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "client/ctl/app.h"
#include "client/ctl/input.h"
#include "tests/client/fake_gateway.h"

namespace meshgate::ctl {
namespace {

using ::meshgate::testing::FakeGateway;
using ::meshgate::testing::GatewayError;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

// A quote taken for a part of a value, or a value cut at a space, would be written as configuration.
TEST(SplitWordsTest, AreThoseOfAShell) {
  const struct {
    const char* line;
    std::vector<std::string> words;
  } cases[] = {
      {"", {}},
      {"  \t ", {}},
      {"# put a b", {}},
      {"put a b", {"put", "a", "b"}},
      {" put\ta  b \r", {"put", "a", "b"}},
      {"put a 'b  c'  # why", {"put", "a", "b  c"}},
      {"put a#b c#", {"put", "a#b", "c#"}},
      {R"(put a "b \"c\" \\ \n '")", {"put", "a", R"(b "c" \ \n ')"}},
      {R"(put a 'b \ " c')", {"put", "a", R"(b \ " c)"}},
      {R"(put a\ b \"\#)", {"put", "a b", "\"#"}},
      {"put a ''", {"put", "a", ""}},
      {"put a\"b\"'c' \"\"", {"put", "abc", ""}},
  };
  for (const auto& c : cases) {
    const auto words = SplitWords(c.line);
    ASSERT_TRUE(words.ok()) << c.line << ": " << words.status();
    EXPECT_EQ(*words, c.words) << c.line;
  }
  for (const char* line : {"put a 'b", "put a \"b'", "put a b\\", "put a \"b\\\""}) {
    EXPECT_FALSE(SplitWords(line).ok()) << line;
  }
}

class CommitTest : public ::testing::Test {
 protected:
  CommitTest() {
    gateway_.config().commit = [this](const v1::CommitConfigRequest& request, v1::CommitConfigResponse* response) {
      requests_.push_back(request.ShortDebugString());
      for (const auto& operation : request.operations()) {
        if (!operation.has_put()) continue;
        auto* entry = response->add_entries();
        entry->set_key(operation.put().key());
        entry->set_modify_index(42);
      }
      return answer_;
    };
  }

  int Run(const std::string& input, std::vector<std::string> args = {"commit", "-"}) {
    in_.clear();
    in_.str(input);
    out_.str("");
    err_.str("");
    return RunMeshgatectl(args, {&in_, &out_, &err_, gateway_.endpoint(), &cancellation_});
  }

  std::vector<std::string> requests_;
  grpc::Status answer_;
  FakeGateway gateway_;
  client::Cancellation cancellation_;
  std::istringstream in_;
  std::ostringstream out_;
  std::ostringstream err_;
};

// Each line has to become the change that it says, with its condition.
TEST_F(CommitTest, SendsItsLines) {
  const std::string file = std::string(std::getenv("TEST_TMPDIR")) + "/value";
  std::ofstream(file, std::ios::binary) << "from\na file";
  EXPECT_EQ(Run("# The database moves.\n"
                "put a 'x y' --if-modify-index 7 --flags=3\n"
                "\n"
                "put b @" +
                    file +
                    "\r\n"
                    "put c \"\" --if-modify-index=0\n"
                    "put d -- -5\n"
                    "del e --if-modify-index 9\n"
                    "del --prefix f/   # all of it",
                {"commit", "-", "-d", "dc2"}),
            0)
      << err_.str();
  EXPECT_THAT(requests_, ElementsAre("operations { put { key: \"a\" value: \"x y\" flags: 3 if_modify_index: 7 } } "
                                     "operations { put { key: \"b\" value: \"from\\na file\" } } "
                                     "operations { put { key: \"c\" if_modify_index: 0 } } "
                                     "operations { put { key: \"d\" value: \"-5\" } } "
                                     "operations { delete { key: \"e\" if_modify_index: 9 } } "
                                     "operations { delete { prefix: \"f/\" } } datacenter: \"dc2\""));
  EXPECT_EQ(out_.str(), "a\t42\nb\t42\nc\t42\nd\t42\n");
  EXPECT_EQ(err_.str(), "");
}

// Scripts make JSON and read it.
TEST_F(CommitTest, TakesAndGivesJson) {
  EXPECT_EQ(Run(" {\"operations\":[{\"put\":{\"key\":\"a\",\"value\":\"aGk=\",\"ifModifyIndex\":\"0\"}},"
                "{\"delete\":{\"prefix\":\"b/\"}}]}\n",
                {"commit", "-", "-o", "json"}),
            0)
      << err_.str();
  EXPECT_THAT(requests_, ElementsAre("operations { put { key: \"a\" value: \"hi\" if_modify_index: 0 } } "
                                     "operations { delete { prefix: \"b/\" } }"));
  EXPECT_EQ(
      out_.str(),
      "{\"entries\":[{\"key\":\"a\",\"value\":\"\",\"flags\":\"0\",\"createIndex\":\"0\",\"modifyIndex\":\"42\"}]}\n");
}

// A file is read like standard input, and its mistakes are found by name and line before anything is sent.
TEST_F(CommitTest, MistakesAreLocalAndNameTheirLine) {
  const std::string path = std::string(std::getenv("TEST_TMPDIR")) + "/changes";
  std::ofstream(path) << "put a 1\n\ndel a b\n";
  EXPECT_EQ(Run("", {"commit", path}), 1);
  EXPECT_EQ(err_.str(), "meshgatectl: " + path + ", line 3: unexpected argument 'b'\n");
  const struct {
    const char* input;
    const char* why;
  } cases[] = {
      {"", "no operation in standard input"},
      {"# nothing\n", "no operation in standard input"},
      {"get a", "line 1: 'get' is not put or del"},
      {"put a", "line 1: put needs KEY VALUE"},
      {"put a -", "from standard input is for put alone"},
      {"put a @/does/not/exist", "line 1: can't open /does/not/exist"},
      {"put a b -o json", "line 1: unrecognised option '-o'"},
      {"put a b --help", "line 1: unrecognised option '--help'"},
      {"put a b --if-modify-index x", "takes a number"},
      {"del --prefix ''", "would delete all"},
      {"put a 'b", "a quote is not closed"},
      {"{\"operations\": 7}", "not a CommitConfigRequest in JSON"},
      {"{", "not a CommitConfigRequest in JSON"},
  };
  for (const auto& c : cases) {
    EXPECT_EQ(Run(c.input), 1) << c.input;
    EXPECT_THAT(err_.str(), HasSubstr(c.why)) << c.input;
  }
  EXPECT_EQ(Run("", {"commit", "/does/not/exist"}), 1);
  EXPECT_THAT(err_.str(), HasSubstr("can't open /does/not/exist"));
  EXPECT_EQ(Run(std::string((4 << 20) + 1, '#')), 1);
  EXPECT_THAT(err_.str(), HasSubstr("too large"));
  EXPECT_TRUE(requests_.empty());
}

// Whoever wrote forty lines must be told which of them lost its race, not count operations.
TEST_F(CommitTest, AFailedOperationIsFoundByItsLine) {
  answer_ = GatewayError(grpc::StatusCode::ABORTED, "CAS_MISMATCH", "operations[1]: the entry was modified");
  EXPECT_EQ(Run("put a 1\n\n# remark\nput b 1 --if-modify-index 7\n"), 74);
  EXPECT_EQ(out_.str(), "");
  EXPECT_THAT(err_.str(), HasSubstr("operations[1] is line 4 of standard input\n"));
  EXPECT_THAT(err_.str(), HasSubstr("ABORTED (CAS_MISMATCH): operations[1]: the entry was modified"));
  answer_ = GatewayError(grpc::StatusCode::UNAVAILABLE, "WRITE_OUTCOME_UNKNOWN", "no clear answer");
  EXPECT_EQ(Run("put a 1\n"), 78);
  EXPECT_THAT(err_.str(), Not(HasSubstr("is line")));
}

}  // namespace
}  // namespace meshgate::ctl
