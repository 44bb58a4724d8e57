#ifndef MESHGATE_SERVER_HTTP_API_WATCH_CALL_H_
#define MESHGATE_SERVER_HTTP_API_WATCH_CALL_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "google/protobuf/message.h"
#include "server/http/api/call.h"
#include "server/http/api/route.h"
#include "server/http/api/watch_thread.h"
#include "server/http/exchange.h"
#include "server/http/router.h"
#include "server/stream/outbox.h"

namespace meshgate::server::api {

// A route whose handler starts an outbox, or ends it.
struct Watch {
  Route route;
  std::function<std::unique_ptr<google::protobuf::Message>()> new_request;
  std::function<void(const google::protobuf::Message&, const Caller&, const std::shared_ptr<Outbox>&)> handler;
  MethodInfo method;
  Environment environment;
  std::shared_ptr<WatchThreads> threads;
};

// Names of the parameters of watches that are no fields of requests.
inline constexpr char kWait[] = "wait";
inline constexpr char kAfter[] = "after";

// One call of a watch: a stream of server-sent events or of lines of JSON, or a poll that waits for the next message.
//
// A stream is answered with an error's status where it cannot begin, for which it waits a little; what ends it later is
// its last event. A poll is answered with the first message that tells something, or when its wait is over with
// what there is. As with gRPC a reader that does not read is a mark, not bytes.
class WatchCall final : public HttpExchange,
                        public Outbox::Listener,
                        public TextWaiter,
                        public std::enable_shared_from_this<WatchCall> {
 public:
  WatchCall(std::shared_ptr<const Watch> watch, const HttpRequest& http, HttpReply reply);
  ~WatchCall() override;

  void Start(const HttpRequest& http);

  // ---- HttpExchange
  Piece Next() override;
  void OnTimer() override;
  void OnClosed(Why why) override;

  // ---- Outbox::Listener
  void OnReady() override;

  // ---- TextWaiter
  void OnText() override;

 private:
  enum class Mode { kEvents, kLines, kPoll };

  // What the request asks for, beside the fields of the handler's request.
  absl::Status Parse(const HttpRequest& http, google::protobuf::Message* request, int* http_status);
  absl::Status ParseMode(const HttpRequest& http, const Query& query, int* http_status);
  WatchFormat format() const { return mode_ == Mode::kEvents ? WatchFormat::kEvents : WatchFormat::kLines; }

  // Takes from the outbox what there is; nothing where that is nothing, or the end, which is settled.
  std::optional<MessageText> Take();
  void BeginStream();
  void AnswerPoll(const MessageText& text);
  void Fail(const absl::Status& status, int http_status = 0);
  // The end of a stream, as its reader is told.
  std::string EndText(const absl::Status& status) const;
  void Respond(HttpResponse response);
  // Counts the end, and keeps what says so to the reader.
  void Settle(const absl::Status& status);

  const std::shared_ptr<const Watch> watch_;
  HttpReply reply_;
  Call call_;
  // Is a browser's EventSource, or does as one: comes back by itself, but never after an error's status.
  const bool comes_back_;
  Mode mode_ = Mode::kEvents;
  absl::Duration wait_;
  // Null once the exchange is over.
  HttpConnection* connection_;
  std::shared_ptr<WatchThread> thread_;
  std::shared_ptr<Outbox> outbox_;
  std::unique_ptr<StreamSet::Membership> membership_;

  // Taken from the outbox; OnText() comes when it has been written.
  consul::SharedMessage unwritten_;
  bool awaits_text_ = false;
  bool responded_ = false;
  // Has to be sent before all else.
  std::shared_ptr<const std::string> preamble_;
  // A stream's first message, or a poll's latest.
  std::optional<MessageText> held_;
  // Set: the stream has ended.
  std::shared_ptr<const std::string> end_;
  bool heartbeat_due_ = false;
  absl::Time last_sent_;
};

}  // namespace meshgate::server::api

#endif  // MESHGATE_SERVER_HTTP_API_WATCH_CALL_H_
