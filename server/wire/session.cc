#include "server/wire/session.h"

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "server/wire/event_loop.h"

namespace meshgate::server::wire {
namespace {

// Of a request that is being sent. A call's is given back as it is taken.
constexpr int32_t kStreamWindow = 1 << 20;
constexpr int32_t kConnectionWindow = 8 << 20;

// Pings too soon after each other before the connection is closed.
constexpr int kPingStrikes = 2;

// Frames, but for DATA, that may wait to be sent, for each stream that may be open. A stream has four at most; of more
// than that a peer that reads nothing has asked for answers without having streams.
constexpr size_t kQueuedPerStream = 5;

// DATA that is put together at a time, however little is in it.
constexpr size_t kFramesAtOnce = 512;

// What nghttp2 keeps of so many is not freed at once.
constexpr size_t kManyStreams = 256;

constexpr uint64_t kUnlimited = uint64_t{1} << 40;

constexpr char kTooManyPings[] = "too_many_pings";

}  // namespace

// nghttp2's side. No C++ exception may pass through it: nothing here throws but for want of memory.
struct Callbacks {
  static Session& Of(void* user) { return *static_cast<Session*>(user); }

  static int OnBeginHeaders(nghttp2_session*, const nghttp2_frame* frame, void* user) {
    if (frame->headers.cat == NGHTTP2_HCAT_REQUEST) Of(user).Begin(frame->hd.stream_id);
    return 0;
  }

  static int OnHeader(nghttp2_session*, const nghttp2_frame* frame, const uint8_t* name, size_t name_size,
                      const uint8_t* value, size_t value_size, uint8_t, void* user) {
    Stream* const stream = Of(user).Find(frame->hd.stream_id);
    if (stream == nullptr) return 0;
    const bool goes_on = stream->OnHeader({reinterpret_cast<const char*>(name), name_size},
                                          {reinterpret_cast<const char*>(value), value_size});
    return goes_on ? 0 : NGHTTP2_ERR_CALLBACK_FAILURE;
  }

  static int OnFrame(nghttp2_session*, const nghttp2_frame* frame, void* user) {
    Session& session = Of(user);
    const bool last = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    switch (frame->hd.type) {
      case NGHTTP2_HEADERS:
        if (Stream* stream = session.Find(frame->hd.stream_id)) stream->OnRequestHeaders(last);
        break;
      case NGHTTP2_DATA:
        if (Stream* stream = session.Find(frame->hd.stream_id); stream != nullptr && last) stream->OnRequestEnd();
        break;
      case NGHTTP2_SETTINGS:
        session.OnSettings();
        break;
      case NGHTTP2_PING:
        (frame->hd.flags & NGHTTP2_FLAG_ACK) != 0 ? session.OnPong() : session.OnPing();
        break;
      default:
        break;
    }
    return 0;
  }

  static int OnData(nghttp2_session* raw, uint8_t, int32_t id, const uint8_t* data, size_t size, void* user) {
    if (Stream* stream = Of(user).Find(id)) {
      stream->OnData({reinterpret_cast<const char*>(data), size});
    } else {
      nghttp2_session_consume_connection(raw, size);
    }
    return 0;
  }

  static int OnFrameSent(nghttp2_session* raw, const nghttp2_frame* frame, void* user) {
    Session& session = Of(user);
    if (frame->hd.type == NGHTTP2_GOAWAY && frame->goaway.error_code != NGHTTP2_NO_ERROR) session.failed_ = true;
    const bool carries = frame->hd.type == NGHTTP2_HEADERS;
    if (carries) session.ping_strikes_ = 0;
    // Answers give no reason for an answer: who is answered could go on for ever.
    const bool asks = (frame->hd.type == NGHTTP2_SETTINGS || frame->hd.type == NGHTTP2_PING) &&
                      (frame->hd.flags & NGHTTP2_FLAG_ACK) == 0;
    if (carries || asks) ++session.frames_sent_;
    if (!carries || (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) == 0) return 0;
    // Answered before the request was over: the peer is to stop sending it, once it has the answer.
    Stream* const stream = session.Find(frame->hd.stream_id);
    if (stream != nullptr && stream->OnResponseEnd()) {
      nghttp2_submit_rst_stream(raw, NGHTTP2_FLAG_NONE, frame->hd.stream_id, NGHTTP2_NO_ERROR);
    }
    return 0;
  }

  // Among others for a block of headers beyond what HTTP/2's compression takes, 64 KiB.
  static int OnFrameNotSent(nghttp2_session* raw, const nghttp2_frame* frame, int, void* user) {
    if (frame->hd.type != NGHTTP2_HEADERS || Of(user).Find(frame->hd.stream_id) == nullptr) return 0;
    nghttp2_submit_rst_stream(raw, NGHTTP2_FLAG_NONE, frame->hd.stream_id, NGHTTP2_INTERNAL_ERROR);
    return 0;
  }

  static int OnStreamClose(nghttp2_session*, int32_t id, uint32_t, void* user) {
    if (Stream* stream = Of(user).Find(id)) Of(user).End(stream);
    return 0;
  }

  // One set for the process.
  static const nghttp2_session_callbacks* Get() {
    static const nghttp2_session_callbacks* const all = [] {
      nghttp2_session_callbacks* made = nullptr;
      nghttp2_session_callbacks_new(&made);
      nghttp2_session_callbacks_set_on_begin_headers_callback(made, OnBeginHeaders);
      nghttp2_session_callbacks_set_on_header_callback(made, OnHeader);
      nghttp2_session_callbacks_set_on_frame_recv_callback(made, OnFrame);
      nghttp2_session_callbacks_set_on_data_chunk_recv_callback(made, OnData);
      nghttp2_session_callbacks_set_on_frame_send_callback(made, OnFrameSent);
      nghttp2_session_callbacks_set_on_frame_not_send_callback(made, OnFrameNotSent);
      nghttp2_session_callbacks_set_on_stream_close_callback(made, OnStreamClose);
      return made;
    }();
    return all;
  }

  static const nghttp2_option* Options() {
    static const nghttp2_option* const all = [] {
      nghttp2_option* made = nullptr;
      nghttp2_option_new(&made);
      // Room is given back as calls take what came.
      nghttp2_option_set_no_auto_window_update(made, 1);
      nghttp2_option_set_no_closed_streams(made, 1);
      // FrameGuard counts resets, and knows which of them have a reason.
      nghttp2_option_set_stream_reset_rate_limit(made, kUnlimited, kUnlimited);
      return made;
    }();
    return all;
  }
};

Session::Session(const SessionEnvironment& environment, std::string peer, std::function<void()> on_output)
    : environment_(environment),
      peer_(std::move(peer)),
      on_output_(std::move(on_output)),
      held_(std::make_shared<MemoryBudget>(environment.options->max_held_bytes, &environment.loop->held())) {
  nghttp2_session_server_new2(&session_, Callbacks::Get(), this, Callbacks::Options());
  const nghttp2_settings_entry settings[] = {
      {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, options().max_streams},
      {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, kStreamWindow},
      {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, static_cast<uint32_t>(options().max_header_bytes)},
  };
  nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings, std::size(settings));
  nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, 0, kConnectionWindow);
}

Session::~Session() {
  CloseSome(streams_.size());
  // What nghttp2 keeps of thousands of streams takes a millisecond to free, for which others must not wait.
  std::unique_ptr<nghttp2_session, decltype(&nghttp2_session_del)> session(session_, &nghttp2_session_del);
  if (had_many_streams_) loop().clock()->Post([session = std::move(session)]() mutable { session.reset(); });
}

bool Session::CloseSome(size_t most) {
  // Nobody sends any more.
  inside_ = true;
  failed_ = true;
  // Not the first again and again: to find it in a set from which thousands have gone is a search.
  std::vector<Stream*> some;
  some.reserve(std::min(most, streams_.size()));
  for (auto stream = streams_.begin(); stream != streams_.end() && some.size() < most; ++stream)
    some.push_back(*stream);
  for (Stream* stream : some) End(stream);
  return streams_.empty();
}

bool Session::Receive(std::string_view bytes) {
  if (failed_) return false;
  inside_ = true;
  const auto pass = [this](std::string_view some) {
    const ssize_t taken =
        nghttp2_session_mem_recv(session_, reinterpret_cast<const uint8_t*>(some.data()), some.size());
    return taken == static_cast<ssize_t>(some.size());
  };
  const auto window = [this](int32_t id, uint32_t increment) { OnWindow(id, increment); };
  const bool goes_on = guard_.Feed(bytes, loop().now(), pass, window);
  inside_ = false;
  // The last call is known once what came with the frame that is the reason for it was taken.
  if (std::exchange(last_call_due_, false)) FinishGoAway();
  if (pinged_too_often_) SayTooManyPings();
  const bool overdue = nghttp2_session_get_outbound_queue_size(session_) > kQueuedPerStream * options().max_streams;
  if (!goes_on || overdue) {
    failed_ = true;
    nghttp2_session_terminate_session(session_, NGHTTP2_ENHANCE_YOUR_CALM);
  }
  return !failed_;
}

bool Session::Produce(std::string* out, size_t enough) {
  inside_ = true;
  size_t left = kFramesAtOnce;
  size_t frames = 1;
  bool goes_on = ProduceControl(out, enough);
  // Headers come before their stream's DATA, and its trailers after it.
  while (goes_on && !failed_ && frames > 0 && left > 0 && out->size() < enough) {
    frames = queue_.Produce(out, enough, left);
    left -= frames;
    frames_sent_ += frames;
    if (frames > 0) ping_strikes_ = 0;
    goes_on = ProduceControl(out, enough);
  }
  inside_ = false;
  guard_.OnSent(std::exchange(frames_sent_, 0));
  return goes_on;
}

bool Session::ProduceControl(std::string* out, size_t enough) {
  while (out->size() < enough) {
    const uint8_t* data = nullptr;
    const ssize_t size = nghttp2_session_mem_send(session_, &data);
    if (size <= 0) return size == 0;
    out->append(reinterpret_cast<const char*>(data), static_cast<size_t>(size));
  }
  return true;
}

void Session::Enqueue(Stream* stream) {
  if (queue_.Add(stream)) WantOutput();
}

void Session::OnSettings() {
  greeted_ = true;
  const uint32_t size = nghttp2_session_get_remote_settings(session_, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE);
  if (!queue_.OnInitialWindow(size, streams_)) FailFlowControl();
}

void Session::FailFlowControl() {
  failed_ = true;
  nghttp2_session_terminate_session(session_, NGHTTP2_FLOW_CONTROL_ERROR);
}

void Session::OnWindow(int32_t id, uint32_t increment) {
  if (id == 0) {
    if (!queue_.OnConnectionWindow(increment)) FailFlowControl();
    return;
  }
  // That of a stream that has ended may still be on its way.
  Stream* const stream = Find(id);
  if (stream == nullptr || queue_.OnStreamWindow(stream, increment)) return;
  nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, id, NGHTTP2_FLOW_CONTROL_ERROR);
}

bool Session::Done() const {
  return nghttp2_session_want_read(session_) == 0 && nghttp2_session_want_write(session_) == 0;
}

void Session::WantOutput() {
  if (!inside_) on_output_();
}

void Session::GoAway() {
  if (std::exchange(going_away_, true)) return;
  nghttp2_submit_shutdown_notice(session_);
  Ping();
}

void Session::FinishGoAway() {
  GoAway();
  if (gone_away_) return;
  SubmitGoAway(NGHTTP2_NO_ERROR, {});
  WantOutput();
}

void Session::Ping() {
  ping_answered_ = false;
  nghttp2_submit_ping(session_, NGHTTP2_FLAG_NONE, nullptr);
  WantOutput();
}

void Session::OnPong() {
  ping_answered_ = true;
  last_call_due_ = going_away_;
}

void Session::OnPing() {
  const absl::Time now = loop().now();
  if (now - std::exchange(last_ping_, now) >= options().least_ping_interval) {
    ping_strikes_ = 0;
    return;
  }
  pinged_too_often_ = ++ping_strikes_ > kPingStrikes;
}

void Session::SayTooManyPings() {
  SubmitGoAway(NGHTTP2_ENHANCE_YOUR_CALM, kTooManyPings);
  failed_ = true;
}

void Session::SubmitGoAway(uint32_t error, std::string_view why) {
  gone_away_ = true;
  last_call_ = nghttp2_session_get_last_proc_stream_id(session_);
  nghttp2_submit_goaway(session_, NGHTTP2_FLAG_NONE, last_call_, error, reinterpret_cast<const uint8_t*>(why.data()),
                        why.size());
}

void Session::CutAll(const Ending& ending) {
  for (Stream* stream : streams_) stream->Cut(ending);
}

Stream* Session::Find(int32_t id) const {
  return static_cast<Stream*>(nghttp2_session_get_stream_user_data(session_, id));
}

void Session::Begin(int32_t id) {
  // The peer is being told that this one was not looked at, and makes it again elsewhere.
  if (gone_away_ && id > last_call_) {
    nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, id, NGHTTP2_REFUSED_STREAM);
    return;
  }
  auto* const stream = new Stream(this, id);
  streams_.insert(stream);
  had_many_streams_ = had_many_streams_ || streams_.size() > kManyStreams;
  nghttp2_session_set_stream_user_data(session_, id, stream);
}

void Session::End(Stream* stream) {
  streams_.erase(stream);
  nghttp2_session_set_stream_user_data(session_, stream->id(), nullptr);
  stream->OnClosed();
  delete stream;
}

}  // namespace meshgate::server::wire
