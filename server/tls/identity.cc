#include "server/tls/identity.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <memory>
#include <string_view>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"

namespace meshgate::server::tls {
namespace {

constexpr char kSpiffe[] = "spiffe://";

bool Clear(const std::string& text) {
  return std::none_of(text.begin(), text.end(),
                      [](char c) { return absl::ascii_iscntrl(static_cast<unsigned char>(c)); });
}

std::vector<std::string> SpiffeIds(const X509* certificate) {
  std::vector<std::string> found;
  const std::unique_ptr<GENERAL_NAMES, decltype(&GENERAL_NAMES_free)> names(
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)),
      &GENERAL_NAMES_free);
  for (int i = 0; names != nullptr && i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names.get(), i);
    if (name->type != GEN_URI) continue;
    const ASN1_IA5STRING* uri = name->d.uniformResourceIdentifier;
    std::string text(reinterpret_cast<const char*>(ASN1_STRING_get0_data(uri)),
                     static_cast<size_t>(ASN1_STRING_length(uri)));
    if (absl::StartsWithIgnoreCase(text, kSpiffe)) found.push_back(std::move(text));
  }
  return found;
}

std::string CommonName(const X509* certificate) {
  const X509_NAME* subject = X509_get_subject_name(certificate);
  // The last one is the most specific.
  int at = -1;
  for (int next; (next = X509_NAME_get_index_by_NID(subject, NID_commonName, at)) >= 0;) at = next;
  if (at < 0) return "";
  unsigned char* utf8 = nullptr;
  const int size = ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
  if (size < 0) return "";
  const std::string text(reinterpret_cast<const char*>(utf8), static_cast<size_t>(size));
  OPENSSL_free(utf8);
  return text;
}

}  // namespace

std::string IdentityOf(const X509* certificate) {
  const std::vector<std::string> ids = SpiffeIds(certificate);
  std::string identity = ids.empty() ? CommonName(certificate) : ids.front();
  ERR_clear_error();
  if (ids.size() > 1 || !Clear(identity)) return "";
  if (ids.empty() && absl::StartsWithIgnoreCase(identity, kSpiffe)) return "";
  return identity;
}

std::string IdentityOfPeer(const SSL* ssl) {
  const X509* const peer = SSL_get0_peer_certificate(ssl);
  return peer == nullptr ? "" : IdentityOf(peer);
}

}  // namespace meshgate::server::tls
