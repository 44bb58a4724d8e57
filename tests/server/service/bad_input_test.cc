// The table of bad input, against the handlers: each request is refused by name of its field and nobody is asked.
#include "tests/testing/bad_input.h"

#include <functional>
#include <map>
#include <set>
#include <string>

#include "server/hold/hold_stream.h"
#include "server/service/request_parser.h"
#include "tests/server/service/handler_harness.h"

namespace meshgate::server {
namespace {

using testing::BadInput;

class BadInputTest : public HandlerHarness {
 protected:
  using Serve = std::function<absl::Status(const std::string& bytes)>;

  template <typename Request, typename Response, typename Handlers>
  Serve Unary(Handlers* handlers, void (Handlers::*handle)(const Request&, const Caller&, Reply<Response>)) {
    return [this, handlers, handle](const std::string& bytes) {
      Request request;
      if (absl::Status s = ParseRequest(bytes, &request); !s.ok()) return s;
      Answered<Response> answered;
      (handlers->*handle)(request, caller_, answered.reply());
      return answered.status();
    };
  }

  template <typename Request, typename Handlers>
  Serve Stream(Handlers* handlers,
               void (Handlers::*handle)(const Request&, const Caller&, const std::shared_ptr<Outbox>&)) {
    return [this, handlers, handle](const std::string& bytes) {
      Request request;
      if (absl::Status s = ParseRequest(bytes, &request); !s.ok()) return s;
      RecordedStream stream(&scheduler_, &reporter_);
      (handlers->*handle)(request, caller_, stream.outbox());
      EXPECT_TRUE(stream.written().empty());
      return stream.end().value_or(absl::UnknownError("still open"));
    };
  }

  // What a stream of one message is told.
  Serve Hold() {
    return [this](const std::string& bytes) {
      v1::HoldRegistrationRequest request;
      if (absl::Status s = ParseRequest(bytes, &request); !s.ok()) return s;
      RecordedStream ended(&scheduler_, &reporter_);
      auto stream = std::make_shared<HoldStream>(ended.outbox(), &scheduler_, &holds_);
      stream->Open();
      stream->OnMessage(request);
      EXPECT_TRUE(ended.written().empty());
      const absl::Status status = ended.end().value_or(absl::UnknownError("still open"));
      stream->OnEnd(status);
      return status;
    };
  }

  const std::map<std::string, Serve> methods_ = {
      {"/meshgate.v1.ConfigService/GetConfig", Unary(&config_, &ConfigHandlers::GetConfig)},
      {"/meshgate.v1.ConfigService/ListConfig", Unary(&config_, &ConfigHandlers::ListConfig)},
      {"/meshgate.v1.ConfigService/PutConfig", Unary(&config_, &ConfigHandlers::PutConfig)},
      {"/meshgate.v1.ConfigService/DeleteConfig", Unary(&config_, &ConfigHandlers::DeleteConfig)},
      {"/meshgate.v1.ConfigService/CommitConfig", Unary(&config_, &ConfigHandlers::CommitConfig)},
      {"/meshgate.v1.ConfigService/WatchConfig", Stream(&config_, &ConfigHandlers::WatchConfig)},
      {"/meshgate.v1.RegistryService/Register", Unary(&registry_, &RegistryHandlers::Register)},
      {"/meshgate.v1.RegistryService/Deregister", Unary(&registry_, &RegistryHandlers::Deregister)},
      {"/meshgate.v1.RegistryService/Heartbeat", Unary(&registry_, &RegistryHandlers::Heartbeat)},
      {"/meshgate.v1.RegistryService/HoldRegistration", Hold()},
      {"/meshgate.v1.RegistryService/Discover", Unary(&registry_, &RegistryHandlers::Discover)},
      {"/meshgate.v1.RegistryService/ListServices", Unary(&registry_, &RegistryHandlers::ListServices)},
      {"/meshgate.v1.RegistryService/WatchService", Stream(&registry_, &RegistryHandlers::WatchService)},
  };
};

// A request that got past its check would be sent to Consul, which redirects, mangles or stores some of these; a
// message without the field's name leaves its sender guessing.
TEST_F(BadInputTest, IsRefusedByFieldAndAsksNobody) {
  std::set<std::string> covered;
  for (const BadInput& input : testing::BadInputs()) {
    SCOPED_TRACE(input.name);
    covered.insert(input.method);
    ASSERT_EQ(methods_.count(input.method), 1u) << input.method;
    ExpectBadField(methods_.at(input.method)(input.bytes), input.field);
    EXPECT_TRUE(backend_.calls().empty());
  }
  EXPECT_EQ(covered.size(), methods_.size());
}

// Names tell the rows apart in a failure: two of the same name hide which one it was.
TEST_F(BadInputTest, HasANameForEachRow) {
  std::set<std::string> names;
  for (const BadInput& input : testing::BadInputs()) EXPECT_TRUE(names.insert(input.name).second) << input.name;
  EXPECT_GT(names.size(), 250u);
}

}  // namespace
}  // namespace meshgate::server
