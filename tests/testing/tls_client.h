#ifndef MESHGATE_TESTS_TESTING_TLS_CLIENT_H_
#define MESHGATE_TESTS_TESTING_TLS_CLIENT_H_

#include <openssl/ssl.h>

#include <cstdint>
#include <ctime>
#include <string>
#include <string_view>
#include <vector>

namespace meshgate::testing {

// A TLS client over a blocking socket that offers what the test says, well-behaved or not. Every wait is bounded by 30
// seconds. Not thread-safe.
class TlsClient {
 public:
  struct Options {
    // Whose certificates it takes; empty: anybody's.
    std::string ca_file;
    // What the server's certificate must be for, where it is checked.
    std::string address = "127.0.0.1";
    // The day on which it is checked; 0: today.
    time_t now = 0;
    // Its own; empty: none.
    std::string cert_file;
    std::string key_file;
    // TLS1_2_VERSION and so on; 0: whatever OpenSSL has.
    int min_version = 0;
    int max_version = 0;
    // Of TLS 1.2 and before.
    std::string ciphers;
    // What it offers by ALPN.
    std::vector<std::string> protocols;
    // A session to resume, of another client with the same options. Stays the other's.
    SSL_SESSION* session = nullptr;
  };

  // Connects to "127.0.0.1:PORT".
  TlsClient(const std::string& server, const Options& options);
  ~TlsClient();
  TlsClient(const TlsClient&) = delete;
  TlsClient& operator=(const TlsClient&) = delete;

  // As far as the client knows: with TLS 1.3 a server that does not take the client's certificate says so later.
  bool Handshake();
  // Sends the first message of a handshake, and nothing after it.
  bool SendHello();
  bool Write(std::string_view bytes);
  // Some bytes; empty at the end, or where the server has refused.
  std::string Read();
  // Without TLS.
  bool WriteRaw(std::string_view bytes);
  std::string ReadRaw();
  // The server has closed, and sent nothing but an alert before.
  bool WaitForClose();

  // Of OpenSSL, of the first thing that failed.
  const std::string& error() const { return error_; }
  // "TLSv1.3".
  std::string version() const;
  std::string protocol() const;
  bool resumed() const;
  SSL_SESSION* session() const;
  // The server's certificate.
  std::string serial() const;
  SSL* raw() const { return ssl_; }
  int fd() const { return fd_; }

 private:
  bool Keep(int result);

  SSL_CTX* const context_;
  SSL* ssl_ = nullptr;
  int fd_ = -1;
  std::string error_;
};

// The serial number of the first certificate in a PEM file.
std::string SerialOf(const std::string& cert_file);

}  // namespace meshgate::testing

#endif  // MESHGATE_TESTS_TESTING_TLS_CLIENT_H_
