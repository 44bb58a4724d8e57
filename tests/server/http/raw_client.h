// HTTP as bytes on a socket, so that tests can send what a library would not.
#ifndef MESHGATE_TESTS_SERVER_HTTP_RAW_CLIENT_H_
#define MESHGATE_TESTS_SERVER_HTTP_RAW_CLIENT_H_

#include <cstddef>
#include <string>

namespace meshgate::testing {

// One connection to "127.0.0.1:PORT". Every wait is bounded by 30 seconds.
class RawClient {
 public:
  explicit RawClient(const std::string& address);
  ~RawClient();
  RawClient(const RawClient&) = delete;
  RawClient& operator=(const RawClient&) = delete;

  // Returns false when the peer has closed.
  bool Send(const std::string& bytes);

  struct Response {
    int status = 0;    // 0: the connection ended first.
    std::string head;  // Status line and headers, as sent.
    std::string body;
  };
  // Reads one response with a Content-Length. `with_body` is false for answers to HEAD.
  Response Receive(bool with_body = true);
  Response Get(const std::string& path) {
    Send("GET " + path + " HTTP/1.1\r\nHost: h\r\n\r\n");
    return Receive();
  }

  // What comes up to and with `text`; what there is where the connection ends first.
  std::string ReceiveUntil(const std::string& text);
  // So many of the bytes that come next; fewer where the connection ends first.
  std::string ReceiveBytes(size_t bytes);

  // Waits for the end of the connection; false when bytes come or the time is up.
  bool WaitForClose();

 private:
  // Reads some more; false at the end.
  bool Fill();

  int fd_ = -1;
  std::string buffer_;
};

}  // namespace meshgate::testing

#endif  // MESHGATE_TESTS_SERVER_HTTP_RAW_CLIENT_H_
