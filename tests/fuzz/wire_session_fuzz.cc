// Whatever a peer sends, in whatever pieces, with calls that answer, end and are ended meanwhile: every call is told of
// its end once, and nothing after it.
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "consul/reporter.h"
#include "server/wire/event_loop.h"
#include "server/wire/session.h"
#include "tests/fuzz/input.h"
#include "tests/testing/manual_scheduler.h"

namespace meshgate::fuzz {
namespace {

using namespace server::wire;  // NOLINT

constexpr char kHello[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0";

class FuzzCall final : public Call {
 public:
  using All = std::vector<std::shared_ptr<FuzzCall>>;

  FuzzCall(Stream* stream, Choices* choices, const All* all) : stream_(stream), choices_(choices), all_(all) {
    if (choices_->OneIn(4)) stream->SetHeaders({{"x-request-id", "1"}});
    if (choices_->OneIn(4)) stream->SendHeaders({{"x-more-bin", "AAAA"}});
    if (!choices_->OneIn(16)) return;
    stream->Finish({3, "no % \xff", {}});
    // Who ends it at once is not told of it.
    stream_ = nullptr;
  }
  ~FuzzCall() override { MESHGATE_FUZZ_CHECK(stream_ == nullptr); }

  void OnMessage(std::string) override {
    MESHGATE_FUZZ_CHECK(stream_ != nullptr);
    if (choices_->OneIn(8)) stream_->PauseRequest();
    Say();
    if (choices_->OneIn(4)) stream_->Finish({0, "", {}});
  }
  void OnHalfClose() override {
    MESHGATE_FUZZ_CHECK(stream_ != nullptr);
    Say();
    if (choices_->OneIn(2)) stream_->Finish({5, "not found", {{"grpc-status-details-bin", "AAAA"}}});
  }
  SharedBytes NextMessage() override {
    MESHGATE_FUZZ_CHECK(stream_ != nullptr);
    if (choices_->OneIn(16)) stream_->Finish({0, "", {}});
    // What it does may end others, too.
    if (choices_->OneIn(16)) (*all_)[choices_->Below(static_cast<uint32_t>(all_->size()))]->ActInside(this);
    if (to_send_ == 0) return nullptr;
    --to_send_;
    return std::make_shared<const std::string>(choices_->OneIn(4) ? 100'000 : choices_->Below(30), 'x');
  }
  void PrepareNext(int) const override { MESHGATE_FUZZ_CHECK(stream_ != nullptr); }
  Ending OnStalled(absl::Duration) override {
    MESHGATE_FUZZ_CHECK(stream_ != nullptr);
    return {14, "stalled", {}};
  }
  void OnClosed(Why) override {
    MESHGATE_FUZZ_CHECK(stream_ != nullptr);
    stream_ = nullptr;
  }

  // Another one does something to it, while that is asked for a message.
  void ActInside(const FuzzCall* asked) {
    if (stream_ == nullptr || this == asked) return;
    switch (choices_->Below(3)) {
      case 0:
        return stream_->Finish({0, "", {}});
      case 1:
        return stream_->Cut({14, "cut", {}});
      default:
        return Say();
    }
  }

  // Something happens to the call that its peer has no part in.
  void Act() {
    if (stream_ == nullptr) return;
    EventLoop& loop = stream_->loop();
    switch (choices_->Below(8)) {
      case 0:
        return stream_->Finish({0, "", {}});
      case 1:
        return stream_->Cut({14, "cut", {}});
      case 2:
        return stream_->ResumeRequest();
      case 3:
        if (stream_->deadline() == absl::InfiniteFuture()) return;
        loop.RemoveDeadline(stream_, stream_->deadline());
        return stream_->OnDeadline();
      case 4:
        if (!stream_->listed()) return;
        loop.writing().Remove(*stream_);
        return stream_->OnStalled(absl::Minutes(2));
      default:
        return Say();
    }
  }

 private:
  void Say() {
    to_send_ += choices_->Below(3);
    stream_->Ready();
  }

  Stream* stream_;
  Choices* const choices_;
  const All* const all_;
  uint32_t to_send_ = 0;
};

void Run(Input input) {
  static auto& clock = *new testing::ManualScheduler;
  static auto& watches = *new consul::WatchReporter;
  // It has a buffer that is too large to be made each time, and nothing that stays.
  static auto& loop = *new EventLoop(&clock, &watches, {});

  const uint8_t mode = input.Byte();
  Choices choices(input.U16());
  SessionOptions options;
  options.max_request_bytes = 64 << 10;
  options.max_header_bytes = 1 << 10;
  options.max_streams = 24;
  FuzzCall::All calls;
  const CallFactory factory = [&](Stream* stream) {
    calls.push_back(std::make_shared<FuzzCall>(stream, &choices, &calls));
    return calls.back();
  };
  {
    Session session({&loop, &options, &factory}, "ipv4:127.0.0.1:9", [] {});
    std::string bytes = (mode & 1) != 0 ? std::string(kHello, sizeof kHello - 1) : "";
    bytes += input.rest();
    std::string_view rest = bytes;
    std::string out;
    bool goes_on = true;
    while (goes_on && !rest.empty()) {
      goes_on = session.Receive((mode & 2) != 0 ? choices.Split(&rest) : std::exchange(rest, {}));
      if (!calls.empty() && (mode & 4) != 0) calls[choices.Below(static_cast<uint32_t>(calls.size()))]->Act();
      if ((mode & 8) != 0 && choices.OneIn(16)) {
        clock.Advance(absl::Seconds(1));
        loop.Tick();
        switch (choices.Below(4)) {
          case 0:
            session.GoAway();
            break;
          case 1:
            session.FinishGoAway();
            break;
          case 2:
            session.CutAll({14, "old", {}});
            break;
          default:
            session.Ping();
        }
      }
      if (choices.OneIn(4)) continue;
      out.clear();
      const size_t enough = choices.OneIn(2) ? 256 << 10 : choices.Below(64);
      goes_on = session.Produce(&out, enough) && goes_on;
      // A frame beyond what is enough, at most.
      MESHGATE_FUZZ_CHECK(out.size() <= enough + (32 << 10));
      if (session.Done()) break;
    }
    out.clear();
    session.Produce(&out, 256 << 10);
    if ((mode & 16) != 0) session.CloseSome(1 + mode % 16);
  }
  MESHGATE_FUZZ_CHECK(loop.writing().oldest() == nullptr);
}

}  // namespace
}  // namespace meshgate::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  meshgate::fuzz::Run(meshgate::fuzz::Input(data, size));
  return 0;
}
