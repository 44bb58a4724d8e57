// The other end of a server's HTTP/2, without a socket.
#ifndef MESHGATE_TESTS_SERVER_WIRE_H2_CLIENT_H_
#define MESHGATE_TESTS_SERVER_WIRE_H2_CLIENT_H_

#include <nghttp2/nghttp2.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace meshgate::testing {

// A client that does as it is told: it opens its windows only when the test says so. Not thread-safe.
class H2Client {
 public:
  using Headers = std::vector<std::pair<std::string, std::string>>;

  // What came of a request.
  struct Response {
    std::map<std::string, std::string> headers;
    std::map<std::string, std::string> trailers;
    std::string data;
    // END_STREAM was seen, and with the very first HEADERS.
    bool ended = false;
    bool trailers_only = false;
    // The stream is gone, and how.
    std::optional<uint32_t> closed;

    std::string status() const { return Value(headers, ":status"); }
    // grpc-status, wherever it came.
    std::string code() const { return Value(trailers_only ? headers : trailers, "grpc-status"); }
    std::string message() const { return Value(trailers_only ? headers : trailers, "grpc-message"); }
    // The messages in `data`; what is left over as "+BYTES".
    std::vector<std::string> messages() const;

    static std::string Value(const std::map<std::string, std::string>& in, const std::string& name);
  };
  struct GoAway {
    int32_t last_stream;
    uint32_t error;
    std::string debug;
  };

  // `stream_window`: of each response.
  explicit H2Client(uint32_t stream_window = 65535);
  ~H2Client();
  H2Client(const H2Client&) = delete;
  H2Client& operator=(const H2Client&) = delete;

  // Begins a request. Its messages are sent by Send(), and End() ends it.
  int32_t Begin(const Headers& headers);
  void Send(int32_t stream, std::string_view bytes);
  void End(int32_t stream);
  void Reset(int32_t stream);
  // Opens a window by so much; stream 0 is the connection.
  void OpenWindow(int32_t stream, int bytes);
  void Ping();

  // What it has to send now.
  std::string Output();
  void Receive(std::string_view bytes);

  const Response& response(int32_t stream) { return streams_[stream].response; }
  const std::vector<GoAway>& go_aways() const { return go_aways_; }
  // Answers to its own.
  int pongs() const { return pongs_; }
  // Others' that it has been sent.
  int pings() const { return pings_; }
  // The server has sent its settings.
  bool settled() const { return settled_; }

  // The headers of a call of ours.
  static Headers Call(const std::string& path, const Headers& more = {});
  // A message as it is in DATA.
  static std::string Framed(const std::string& message, char flag = 0);

 private:
  struct Side {
    std::string to_send;
    bool end = false;
    Response response;
    int blocks = 0;
  };

  nghttp2_session* session_ = nullptr;
  std::map<int32_t, Side> streams_;
  std::vector<GoAway> go_aways_;
  int pings_ = 0;
  int pongs_ = 0;
  bool settled_ = false;
};

}  // namespace meshgate::testing

#endif  // MESHGATE_TESTS_SERVER_WIRE_H2_CLIENT_H_
