#include <openssl/bio.h>
#include <openssl/ssl.h>

#include <string>

#include "tests/bench/floods/floods.h"

namespace meshgate::bench {
namespace {

// The gateway lets so many handshakes be in progress, and some more come.
constexpr int kMany = 1200;

// What a client begins a handshake with: a key exchange and a signature for the server, and next to nothing for whoever
// sends the same bytes again.
std::string ClientHello() {
  SSL_CTX* const context = SSL_CTX_new(TLS_client_method());
  static constexpr unsigned char kH2[] = {2, 'h', '2'};
  SSL_CTX_set_alpn_protos(context, kH2, sizeof kH2);
  SSL* const tls = SSL_new(context);
  BIO* const sent = BIO_new(BIO_s_mem());
  SSL_set_bio(tls, BIO_new(BIO_s_mem()), sent);
  SSL_connect(tls);
  char* bytes = nullptr;
  const long size = BIO_get_mem_data(sent, &bytes);
  std::string hello(bytes, static_cast<size_t>(size));
  SSL_free(tls);
  SSL_CTX_free(context);
  return hello;
}

// A record of 8 KiB with the beginning of a ClientHello (RFC 8446, 4) that says it is so long, for which a server may
// make room. OpenSSL takes 128 KiB at most.
std::string Announced(size_t length) {
  std::string record = {0x16, 0x03, 0x01, 0x20, 0x00, 0x01};
  record += {static_cast<char>(length >> 16), static_cast<char>(length >> 8), static_cast<char>(length)};
  record.append(0x2000 - 4, '\0');
  return record;
}

}  // namespace

std::vector<Flood> TlsFloods() {
  return {
      {"TLS: ClientHello and silence, 500 at once", false,
       [](Attack* attack) { attack->StayBelowTls(500, ClientHello()); }},
      {"TLS: ClientHello and silence, 1,200 at once", false,
       [](Attack* attack) { attack->StayBelowTls(kMany, ClientHello()); }},
      {"TLS: half of a ClientHello of 16 KiB, 1,200", false,
       [](Attack* attack) { attack->StayBelowTls(kMany, Announced(16 << 10)); }},
      {"TLS: ClientHello of 128 KiB announced", false,
       [](Attack* attack) { attack->StayBelowTls(kMany, Announced(128 << 10)); }},
      {"TLS: handshakes byte by byte, 1,000", false, [](Attack* attack) { attack->DripBelowTls(1000, ClientHello()); }},
      {"TLS: connections that say nothing, 1,200", false, [](Attack* attack) { attack->StayBelowTls(kMany, ""); }},
      {"TLS: plain HTTP/2", false, [](Attack* attack) { attack->StayBelowTls(100, Hello()); }},
      {"TLS: new keys, again and again", true, [](Attack* attack) { attack->UpdateKeys(); }},
  };
}

}  // namespace meshgate::bench
