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
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"

namespace meshgate::server::tls {
namespace {

constexpr char kSpiffe[] = "spiffe://";

bool Clear(const std::string& text) {
  return std::none_of(text.begin(), text.end(),
                      [](char c) { return absl::ascii_iscntrl(static_cast<unsigned char>(c)); });
}

// As the standard has them, so that there is one spelling of each.
bool IsSpiffeId(absl::string_view uri) {
  constexpr size_t kMaxBytes = 2048;
  if (uri.size() > kMaxBytes || !absl::ConsumePrefix(&uri, kSpiffe)) return false;
  const auto plain = [](char c) {
    return absl::ascii_isgraph(static_cast<unsigned char>(c)) && c != '?' && c != '#' && c != '%';
  };
  if (!std::all_of(uri.begin(), uri.end(), plain)) return false;
  const std::vector<absl::string_view> segments = absl::StrSplit(uri, '/');
  return std::none_of(segments.begin(), segments.end(),
                      [](absl::string_view one) { return one.empty() || one == "." || one == ".."; });
}

std::vector<std::string> Uris(const X509* certificate) {
  std::vector<std::string> found;
  const std::unique_ptr<GENERAL_NAMES, decltype(&GENERAL_NAMES_free)> names(
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)),
      &GENERAL_NAMES_free);
  for (int i = 0; names != nullptr && i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names.get(), i);
    if (name->type != GEN_URI) continue;
    const ASN1_IA5STRING* uri = name->d.uniformResourceIdentifier;
    found.emplace_back(reinterpret_cast<const char*>(ASN1_STRING_get0_data(uri)),
                       static_cast<size_t>(ASN1_STRING_length(uri)));
  }
  return found;
}

bool BeginsAsSpiffe(const std::string& text) { return absl::StartsWithIgnoreCase(text, kSpiffe); }

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
  const std::vector<std::string> uris = Uris(certificate);
  const bool spiffe = std::any_of(uris.begin(), uris.end(), BeginsAsSpiffe);
  // A name that is none is an error to OpenSSL.
  const std::string common_name = spiffe ? "" : CommonName(certificate);
  ERR_clear_error();
  if (spiffe) return uris.size() == 1 && IsSpiffeId(uris.front()) ? uris.front() : "";
  return Clear(common_name) && !BeginsAsSpiffe(common_name) ? common_name : "";
}

std::string IdentityOfPeer(const SSL* ssl) {
  const X509* const peer = SSL_get0_peer_certificate(ssl);
  return peer == nullptr ? "" : IdentityOf(peer);
}

}  // namespace meshgate::server::tls
