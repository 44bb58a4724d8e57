#include "server/tls/context.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "tests/testing/certificates.h"
#include "tests/testing/child_process.h"

namespace meshgate::server::tls {
namespace {

using testing::CertificateAuthority;
using testing::Certificates;

class ContextTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(testing::Exist(server_));
    ASSERT_TRUE(testing::Exist(other_));
  }

  static std::string Folder() {
    static int count = 0;
    const std::string made = absl::StrCat(getenv("TEST_TMPDIR"), "/context", ++count);
    std::filesystem::create_directory(made);
    return made;
  }
  std::string File(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ + "/" + name) << text;
    return folder_ + "/" + name;
  }
  static std::string ErrorOf(const Files& files) {
    const auto context = LoadContext({files, "grpc", "h2"}, absl::Now());
    EXPECT_EQ(context.status().code(), absl::StatusCode::kInvalidArgument);
    return std::string(context.status().message());
  }
  static std::string Dates(const std::string& file, const char* which) {
    const std::string text =
        testing::RunCommand({"openssl", "x509", "-noout", which, "-dateopt", "iso_8601", "-in", file});
    std::string date = text.substr(text.find('=') + 1, 20);
    date[10] = 'T';
    return date;
  }

  const std::string folder_ = Folder();
  CertificateAuthority authority_{folder_, "ca"};
  const Certificates server_ = authority_.Sign("server");
  const Certificates other_ = authority_.Sign("other");
};

// Would break if good files were refused, or the metric named another certificate's end.
TEST_F(ContextTest, TakesGoodFiles) {
  const auto context = LoadContext({{server_.cert_file, server_.key_file, server_.ca_file}, "grpc", "h2"}, absl::Now());
  ASSERT_TRUE(context.ok()) << context.status();
  EXPECT_NE(context->ssl, nullptr);
  EXPECT_EQ(absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", context->expires, absl::UTCTimeZone()),
            Dates(server_.cert_file, "-enddate"));
}

// Would break if an operator had to guess which file is wrong, or how.
TEST_F(ContextTest, SaysWhatIsWrong) {
  CertificateAuthority::Wanted over, to_come;
  over.dates = CertificateAuthority::Wanted::Dates::kOver;
  to_come.dates = CertificateAuthority::Wanted::Dates::kToCome;
  const Certificates expired = authority_.Sign("expired", over), early = authority_.Sign("early", to_come);
  const std::string missing = folder_ + "/missing", text = File("text", "hello"), empty = File("empty", "");
  const std::string damaged = File("damaged", "-----BEGIN CERTIFICATE-----\nMIIBAAAA\n-----END CERTIFICATE-----\n");
  const std::string locked = folder_ + "/locked";
  testing::RunCommand({"openssl", "ec", "-aes128", "-passout", "pass:secret", "-in", server_.key_file, "-out", locked});
  const std::string& cert = server_.cert_file;
  const std::string& key = server_.key_file;
  struct Case {
    Files files;
    std::string error;
  };
  const std::vector<Case> cases = {
      {{missing, key, ""}, "--grpc_tls_cert_file: cannot read " + missing + ": No such file or directory"},
      {{folder_, key, ""}, "--grpc_tls_cert_file: cannot read " + folder_ + ": Is a directory"},
      {{text, key, ""}, "--grpc_tls_cert_file: " + text + " has no PEM certificate in it"},
      {{empty, key, ""}, "--grpc_tls_cert_file: " + empty + " has no PEM certificate in it"},
      {{key, key, ""}, "--grpc_tls_cert_file: " + key + " has no PEM certificate in it"},
      {{damaged, key, ""}, "--grpc_tls_cert_file: " + damaged + " has a certificate in it that is damaged"},
      {{cert, missing, ""}, "--grpc_tls_key_file: cannot read " + missing + ": No such file or directory"},
      {{cert, text, ""},
       "--grpc_tls_key_file: " + text + " has no PEM key in it that can be read without a passphrase"},
      {{cert, locked, ""},
       "--grpc_tls_key_file: " + locked + " has no PEM key in it that can be read without a passphrase"},
      {{cert, other_.key_file, ""},
       "--grpc_tls_key_file: the key in " + other_.key_file + " does not belong to the certificate in " + cert},
      {{expired.cert_file, expired.key_file, ""},
       "--grpc_tls_cert_file: the certificate in " + expired.cert_file + " expired at " +
           Dates(expired.cert_file, "-enddate")},
      {{early.cert_file, early.key_file, ""},
       "--grpc_tls_cert_file: the certificate in " + early.cert_file + " is not valid before " +
           Dates(early.cert_file, "-startdate")},
      {{cert, key, missing}, "--grpc_tls_client_ca_file: cannot read " + missing + ": No such file or directory"},
      {{cert, key, key}, "--grpc_tls_client_ca_file: " + key + " has no PEM certificate in it"},
      {{cert, key, cert}, "--grpc_tls_client_ca_file: a certificate in " + cert + " is not an authority's"},
  };
  for (const Case& c : cases) EXPECT_EQ(ErrorOf(c.files), c.error);
}

}  // namespace
}  // namespace meshgate::server::tls
