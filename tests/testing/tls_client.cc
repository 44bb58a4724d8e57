#include "tests/testing/tls_client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>

namespace meshgate::testing {
namespace {

std::string Hex(const X509* certificate) {
  BIGNUM* const number = ASN1_INTEGER_to_BN(X509_get0_serialNumber(certificate), nullptr);
  char* const text = BN_bn2hex(number);
  const std::string hex = text;
  OPENSSL_free(text);
  BN_free(number);
  return hex;
}

int ConnectTo(const std::string& server) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const timeval bound = {30, 0};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &bound, sizeof bound);
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &bound, sizeof bound);
  sockaddr_in to = {};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<uint16_t>(std::atoi(server.substr(server.rfind(':') + 1).c_str())));
  inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
  connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof to);
  return fd;
}

}  // namespace

TlsClient::TlsClient(const std::string& server, const Options& options)
    : context_(SSL_CTX_new(TLS_client_method())), fd_(ConnectTo(server)) {
  // OpenSSL's sockets raise it where the server has closed.
  signal(SIGPIPE, SIG_IGN);
  // Old versions, too.
  SSL_CTX_set_security_level(context_, 0);
  SSL_CTX_set_min_proto_version(context_, options.min_version);
  SSL_CTX_set_max_proto_version(context_, options.max_version);
  if (!options.ciphers.empty()) SSL_CTX_set_cipher_list(context_, options.ciphers.c_str());
  if (!options.cert_file.empty()) {
    SSL_CTX_use_certificate_chain_file(context_, options.cert_file.c_str());
    SSL_CTX_use_PrivateKey_file(context_, options.key_file.c_str(), SSL_FILETYPE_PEM);
  }
  if (!options.ca_file.empty()) {
    SSL_CTX_load_verify_locations(context_, options.ca_file.c_str(), nullptr);
    SSL_CTX_set_verify(context_, SSL_VERIFY_PEER, nullptr);
  }
  ssl_ = SSL_new(context_);
  X509_VERIFY_PARAM* const checks = SSL_get0_param(ssl_);
  X509_VERIFY_PARAM_set1_ip_asc(checks, options.address.c_str());
  if (options.now != 0) X509_VERIFY_PARAM_set_time(checks, options.now);
  std::string offered;
  for (const std::string& protocol : options.protocols) offered += static_cast<char>(protocol.size()) + protocol;
  SSL_set_alpn_protos(ssl_, reinterpret_cast<const unsigned char*>(offered.data()),
                      static_cast<unsigned int>(offered.size()));
  if (options.session != nullptr) SSL_set_session(ssl_, options.session);
  SSL_set_fd(ssl_, fd_);
  SSL_set_connect_state(ssl_);
}

TlsClient::~TlsClient() {
  // Otherwise OpenSSL takes the session for one that must not be resumed.
  SSL_set_shutdown(ssl_, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
  SSL_free(ssl_);
  SSL_CTX_free(context_);
  close(fd_);
}

bool TlsClient::Keep(int result) {
  if (result > 0) return true;
  const unsigned long error = ERR_peek_error();
  const char* const reason = error == 0 ? "closed" : ERR_reason_error_string(error);
  if (error_.empty()) error_ = reason == nullptr ? "closed" : reason;
  ERR_clear_error();
  return false;
}

bool TlsClient::Handshake() { return Keep(SSL_connect(ssl_)); }

bool TlsClient::SendHello() {
  BIO* const hello = BIO_new(BIO_s_mem());
  BIO_up_ref(hello);
  SSL_set0_wbio(ssl_, hello);
  BIO* const nothing = BIO_new(BIO_s_mem());
  SSL_set0_rbio(ssl_, nothing);
  SSL_connect(ssl_);
  ERR_clear_error();
  char* data = nullptr;
  const long size = BIO_get_mem_data(hello, &data);
  const bool sent = WriteRaw({data, static_cast<size_t>(size)});
  BIO_free(hello);
  return sent && size > 0;
}

bool TlsClient::Write(std::string_view bytes) {
  return Keep(SSL_write(ssl_, bytes.data(), static_cast<int>(bytes.size())));
}

std::string TlsClient::Read() {
  char buffer[16 << 10];
  const int size = SSL_read(ssl_, buffer, sizeof buffer);
  if (!Keep(size)) return "";
  return {buffer, static_cast<size_t>(size)};
}

bool TlsClient::WriteRaw(std::string_view bytes) {
  return send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(bytes.size());
}

std::string TlsClient::ReadRaw() {
  char buffer[16 << 10];
  const ssize_t size = recv(fd_, buffer, sizeof buffer, 0);
  return size <= 0 ? "" : std::string(buffer, static_cast<size_t>(size));
}

bool TlsClient::WaitForClose() {
  char buffer[16 << 10];
  while (true) {
    const ssize_t size = recv(fd_, buffer, sizeof buffer, 0);
    if (size == 0) return true;
    if (size < 0) return errno == ECONNRESET;
  }
}

std::string TlsClient::version() const { return SSL_get_version(ssl_); }

std::string TlsClient::protocol() const {
  const unsigned char* chosen = nullptr;
  unsigned int size = 0;
  SSL_get0_alpn_selected(ssl_, &chosen, &size);
  return std::string(reinterpret_cast<const char*>(chosen), size);
}

bool TlsClient::resumed() const { return SSL_session_reused(ssl_) == 1; }

SSL_SESSION* TlsClient::session() const { return SSL_get0_session(ssl_); }

std::string TlsClient::serial() const {
  const X509* const certificate = SSL_get0_peer_certificate(ssl_);
  return certificate == nullptr ? "" : Hex(certificate);
}

std::string SerialOf(const std::string& cert_file) {
  FILE* const open = std::fopen(cert_file.c_str(), "r");
  if (open == nullptr) return "no file";
  X509* const certificate = PEM_read_X509(open, nullptr, nullptr, nullptr);
  std::fclose(open);
  if (certificate == nullptr) return "no certificate";
  const std::string serial = Hex(certificate);
  X509_free(certificate);
  return serial;
}

}  // namespace meshgate::testing
