#include "tests/testing/certificates.h"

#include <fstream>
#include <vector>

#include "tests/testing/child_process.h"

namespace meshgate::testing {

std::optional<Certificates> MakeCertificates(const std::string& folder) {
  const std::string ca_key = folder + "/ca-key.pem", request = folder + "/server.csr", extensions = folder + "/san";
  const Certificates made{folder + "/ca.pem", folder + "/server.pem", folder + "/server-key.pem"};
  std::ofstream(extensions) << "subjectAltName=IP:127.0.0.1\n";
  const std::vector<std::vector<std::string>> commands = {
      {"openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1",
       "-subj", "/CN=test CA", "-keyout", ca_key, "-out", made.ca_file},
      {"openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj",
       "/CN=test agent", "-keyout", made.key_file, "-out", request},
      {"openssl", "x509", "-req", "-days", "1", "-in", request, "-CA", made.ca_file, "-CAkey", ca_key,
       "-CAcreateserial", "-extfile", extensions, "-out", made.cert_file},
  };
  for (const auto& command : commands) {
    ExitStatus status;
    RunCommand(command, &status);
    if (status.code != 0) return std::nullopt;
  }
  return made;
}

std::string HttpsOf(const Certificates& certificates, uint16_t port) {
  return "ports { https = " + std::to_string(port) + " }\nca_file = \"" + certificates.ca_file + "\"\ncert_file = \"" +
         certificates.cert_file + "\"\nkey_file = \"" + certificates.key_file + "\"\n";
}

}  // namespace meshgate::testing
