#include "server/tls/identity.h"

#include <gtest/gtest.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "tests/testing/certificates.h"

namespace meshgate::server::tls {
namespace {

std::string IdentityIn(const std::string& file) {
  FILE* const open = std::fopen(file.c_str(), "r");
  if (open == nullptr) return "no file";
  X509* const certificate = PEM_read_X509(open, nullptr, nullptr, nullptr);
  std::fclose(open);
  const std::string identity = IdentityOf(certificate);
  X509_free(certificate);
  return identity;
}

// Would break if a caller were taken for somebody else, or could choose whom it is taken for.
TEST(IdentityTest, IsTheSpiffeIdOrTheCommonName) {
  testing::CertificateAuthority authority(getenv("TEST_TMPDIR"), "identity");
  struct Case {
    const char* common_name;
    const char* alternative_names;
    const char* identity;
  };
  const std::string at_most_id = "spiffe://example/" + std::string(2048 - 17, 'w');
  const std::string at_most = "URI:" + at_most_id, too_long = at_most + "w";
  const Case cases[] = {
      {"web", "", "web"},
      {"web", "DNS:web.example,URI:https://web.example/", "web"},
      {"web", "DNS:web.example,URI:spiffe://example/ns/default/sa/web", "spiffe://example/ns/default/sa/web"},
      {"", "URI:spiffe://example/web", "spiffe://example/web"},
      {"web", "URI:spiffe://example", "spiffe://example"},
      {"web", "URI:spiffe://example/web,URI:spiffe://example/db", ""},
      {"web", "URI:spiffe://example/web,URI:https://web.example/", ""},
      {"web", "URI:SPIFFE://example/web", ""},
      {"web", "URI:spiffe://", ""},
      {"web", "URI:spiffe:///web", ""},
      {"web", "URI:spiffe://example/web/", ""},
      {"web", "URI:spiffe://example//web", ""},
      {"web", "URI:spiffe://example/ns/../web", ""},
      {"web", "URI:spiffe://example/./web", ""},
      {"web", "URI:spiffe://example/web?x", ""},
      {"web", "URI:spiffe://example/web\\#x", ""},
      {"web", "URI:spiffe://example/%77eb", ""},
      {"web", "URI:spiffe://example/w eb", ""},
      {"web", at_most.c_str(), at_most_id.c_str()},
      {"web", too_long.c_str(), ""},
      {"spiffe://example/web", "", ""},
      {"SPIFFE://example/web", "DNS:web.example", ""},
      {"w\xc3\xa9"
       "b",
       "",
       "w\xc3\xa9"
       "b"},
      {"web\n", "", ""},
  };
  int count = 0;
  for (const Case& c : cases) {
    testing::CertificateAuthority::Wanted wanted;
    wanted.common_name = c.common_name;
    wanted.alternative_names = c.alternative_names;
    const auto made = authority.Sign("leaf" + std::to_string(++count), wanted);
    EXPECT_EQ(IdentityIn(made.cert_file), c.identity) << c.common_name << " " << c.alternative_names;
  }
}

}  // namespace
}  // namespace meshgate::server::tls
