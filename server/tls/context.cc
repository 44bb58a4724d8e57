#include "server/tls/context.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"

namespace meshgate::server::tls {
namespace {

constexpr char kCiphers[] = "ECDHE+AESGCM:ECDHE+CHACHA20";
// The quick ones.
constexpr char kGroups[] = "X25519:P-256:P-384";

// More than any bundle of authorities has.
constexpr size_t kMostFileBytes = 4 << 20;

// Of what a client shows: a certificate has 1 to 2 KiB, and seldom more than two above it.
constexpr long kMostClientChainBytes = 32 << 10;
constexpr int kMostClientChain = 8;

constexpr long kTicketSeconds = 3600;

template <auto free>
struct Free {
  template <typename T>
  void operator()(T* t) const {
    free(t);
  }
};
using Bio = std::unique_ptr<BIO, Free<&BIO_free>>;
using Key = std::unique_ptr<EVP_PKEY, Free<&EVP_PKEY_free>>;
using X509Ptr = std::unique_ptr<X509, Free<&X509_free>>;

// A file and the option that names it.
struct Named {
  std::string option;
  std::string path;
};

absl::Status Unusable(const Named& file, std::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("--", file.option, ": ", std::string(what)));
}

std::string LastReason() {
  const char* reason = ERR_reason_error_string(ERR_peek_last_error());
  ERR_clear_error();
  return reason != nullptr ? reason : "unknown reason";
}

absl::StatusOr<std::string> ReadFile(const Named& file) {
  const auto failed = [&](int error) {
    return Unusable(file, absl::StrCat("cannot read ", file.path, ": ", std::strerror(error)));
  };
  std::unique_ptr<FILE, Free<&fclose>> open(std::fopen(file.path.c_str(), "rbe"));
  if (open == nullptr) return failed(errno);
  std::string text;
  char buffer[16 << 10];
  while (const size_t size = std::fread(buffer, 1, sizeof buffer, open.get())) {
    text.append(buffer, size);
    if (text.size() > kMostFileBytes) return failed(EFBIG);
  }
  if (std::ferror(open.get()) != 0) return failed(errno);
  return text;
}

absl::StatusOr<std::vector<X509Ptr>> ReadCertificates(const Named& file) {
  const auto text = ReadFile(file);
  if (!text.ok()) return text.status();
  const Bio bio(BIO_new_mem_buf(text->data(), static_cast<int>(text->size())));
  std::vector<X509Ptr> found;
  while (X509* one = PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr)) found.emplace_back(one);
  const bool damaged = ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE;
  ERR_clear_error();
  if (damaged) return Unusable(file, absl::StrCat(file.path, " has a certificate in it that is damaged"));
  if (found.empty()) return Unusable(file, absl::StrCat(file.path, " has no PEM certificate in it"));
  return found;
}

int NoPassphrase(char*, int, int, void*) { return -1; }

absl::StatusOr<Key> ReadKey(const Named& file) {
  const auto text = ReadFile(file);
  if (!text.ok()) return text.status();
  const Bio bio(BIO_new_mem_buf(text->data(), static_cast<int>(text->size())));
  Key key(PEM_read_bio_PrivateKey(bio.get(), nullptr, NoPassphrase, nullptr));
  ERR_clear_error();
  if (key != nullptr) return key;
  return Unusable(file, absl::StrCat(file.path, " has no PEM key in it that can be read without a passphrase"));
}

absl::Time TimeOf(const ASN1_TIME* time) {
  struct tm fields = {};
  if (ASN1_TIME_to_tm(time, &fields) != 1) return absl::InfinitePast();
  return absl::FromTimeT(timegm(&fields));
}

std::string Written(absl::Time time) { return absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", time, absl::UTCTimeZone()); }

absl::Status CheckDates(const Named& file, X509* certificate, absl::Time now) {
  const absl::Time begins = TimeOf(X509_get0_notBefore(certificate)), ends = TimeOf(X509_get0_notAfter(certificate));
  if (now > ends) return Unusable(file, absl::StrCat("the certificate in ", file.path, " expired at ", Written(ends)));
  if (now >= begins) return absl::OkStatus();
  return Unusable(file, absl::StrCat("the certificate in ", file.path, " is not valid before ", Written(begins)));
}

int SelectProtocol(SSL*, const unsigned char** out, unsigned char* out_size, const unsigned char* in,
                   unsigned int in_size, void* arg) {
  const std::string_view wanted = static_cast<const char*>(arg);
  for (unsigned int at = 0; at < in_size && at + 1 + in[at] <= in_size; at += 1 + in[at]) {
    if (std::string_view(reinterpret_cast<const char*>(in + at + 1), in[at]) != wanted) continue;
    *out = in + at + 1;
    *out_size = in[at];
    return SSL_TLSEXT_ERR_OK;
  }
  return SSL_TLSEXT_ERR_ALERT_FATAL;
}

std::shared_ptr<SSL_CTX> NewContext(const char* protocol) {
  std::shared_ptr<SSL_CTX> made(SSL_CTX_new(TLS_server_method()), Free<&SSL_CTX_free>());
  SSL_CTX* const ssl = made.get();
  SSL_CTX_set_min_proto_version(ssl, TLS1_2_VERSION);
  SSL_CTX_set_options(ssl, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE);
  // Without AUTO_RETRY a record that carries no data is told of, and can be counted.
  SSL_CTX_clear_mode(ssl, SSL_MODE_AUTO_RETRY);
  // Without NO_AUTO_CHAIN one certificate alone would be sent with what its clients' authorities add to it.
  SSL_CTX_set_mode(ssl, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_NO_AUTO_CHAIN);
  SSL_CTX_set_cipher_list(ssl, kCiphers);
  SSL_CTX_set1_groups_list(ssl, kGroups);
  SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_session_id_context(ssl, reinterpret_cast<const unsigned char*>("meshgate"), 8);
  SSL_CTX_set_timeout(ssl, kTicketSeconds);
  SSL_CTX_set_num_tickets(ssl, 1);
  SSL_CTX_set_max_cert_list(ssl, kMostClientChainBytes);
  SSL_CTX_set_alpn_select_cb(ssl, SelectProtocol, const_cast<char*>(protocol));
  return made;
}

absl::Status AskForClientCertificates(const Named& file, SSL_CTX* ssl) {
  auto authorities = ReadCertificates(file);
  if (!authorities.ok()) return authorities.status();
  for (const X509Ptr& authority : *authorities) {
    if (X509_check_ca(authority.get()) == 0) {
      return Unusable(file, absl::StrCat("a certificate in ", file.path, " is not an authority's"));
    }
    if (X509_STORE_add_cert(SSL_CTX_get_cert_store(ssl), authority.get()) != 1 ||
        SSL_CTX_add_client_CA(ssl, authority.get()) != 1) {
      return Unusable(file, absl::StrCat("a certificate in ", file.path, " cannot be used: ", LastReason()));
    }
  }
  SSL_CTX_set_verify(ssl, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  SSL_CTX_set_verify_depth(ssl, kMostClientChain);
  // An authority need not be a root to be trusted.
  X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(ssl), X509_V_FLAG_PARTIAL_CHAIN);
  // A session that is resumed is not looked at again, nor is what has become of its certificate.
  SSL_CTX_set_options(ssl, SSL_OP_NO_TICKET);
  SSL_CTX_set_num_tickets(ssl, 0);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Context> LoadContext(const ContextOptions& options, absl::Time now) {
  const Named cert{absl::StrCat(options.listener, "_tls_cert_file"), options.files.cert_file};
  const Named key{absl::StrCat(options.listener, "_tls_key_file"), options.files.key_file};
  const Named ca{absl::StrCat(options.listener, "_tls_client_ca_file"), options.files.client_ca_file};
  auto chain = ReadCertificates(cert);
  if (!chain.ok()) return chain.status();
  const auto private_key = ReadKey(key);
  if (!private_key.ok()) return private_key.status();
  X509* const own = chain->front().get();
  if (X509_check_private_key(own, private_key->get()) != 1) {
    ERR_clear_error();
    return Unusable(key, absl::StrCat("the key in ", key.path, " does not belong to the certificate in ", cert.path));
  }
  if (absl::Status dates = CheckDates(cert, own, now); !dates.ok()) return dates;

  Context made{NewContext(options.protocol), absl::InfiniteFuture()};
  for (const X509Ptr& one : *chain) made.expires = std::min(made.expires, TimeOf(X509_get0_notAfter(one.get())));
  SSL_CTX* const ssl = made.ssl.get();
  bool ok = SSL_CTX_use_certificate(ssl, own) == 1 && SSL_CTX_use_PrivateKey(ssl, private_key->get()) == 1;
  for (size_t i = 1; ok && i < chain->size(); ++i) ok = SSL_CTX_add1_chain_cert(ssl, (*chain)[i].get()) == 1;
  if (!ok) return Unusable(cert, absl::StrCat("the certificate in ", cert.path, " cannot be used: ", LastReason()));
  if (!ca.path.empty()) {
    if (absl::Status status = AskForClientCertificates(ca, ssl); !status.ok()) return status;
  }
  return made;
}

}  // namespace meshgate::server::tls
