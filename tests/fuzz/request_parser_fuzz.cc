// Must take what protobuf takes, and refuse what it refuses.
#include <string>

#include "google/protobuf/stubs/logging.h"
#include "meshgate/v1/config_service.pb.h"
#include "meshgate/v1/registry_service.pb.h"
#include "server/service/request_parser.h"
#include "tests/fuzz/input.h"

namespace meshgate::fuzz {
namespace {

template <typename Request>
void Parse(const std::string& bytes) {
  Request ours, theirs;
  const bool taken = server::ParseRequest(bytes, &ours).ok();
  MESHGATE_FUZZ_CHECK(taken == theirs.ParseFromString(bytes));
  if (!taken) return;
  // Maps have no order of their own, and NaNs are not equal: by size.
  MESHGATE_FUZZ_CHECK(ours.ByteSizeLong() == theirs.ByteSizeLong());
}

}  // namespace
}  // namespace meshgate::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace meshgate;  // NOLINT
  static auto* const quiet = google::protobuf::SetLogHandler(nullptr);
  (void)quiet;
  fuzz::Input input(data, size);
  const uint8_t type = input.Byte();
  const std::string bytes(input.rest());
  switch (type % 7) {
    case 0:
      fuzz::Parse<v1::GetConfigRequest>(bytes);
      break;
    case 1:
      fuzz::Parse<v1::WatchConfigRequest>(bytes);
      break;
    case 2:
      fuzz::Parse<v1::PutConfigRequest>(bytes);
      break;
    case 3:
      fuzz::Parse<v1::CommitConfigRequest>(bytes);
      break;
    case 4:
      fuzz::Parse<v1::RegisterRequest>(bytes);
      break;
    case 5:
      fuzz::Parse<v1::DiscoverRequest>(bytes);
      break;
    default:
      fuzz::Parse<v1::HoldRegistrationRequest>(bytes);
      break;
  }
  return 0;
}
