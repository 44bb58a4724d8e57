#include "tests/testing/certificates.h"

#include <unistd.h>

#include <fstream>
#include <vector>

#include "tests/testing/child_process.h"

namespace meshgate::testing {
namespace {

using Command = std::vector<std::string>;

Command NewKey(int rsa_bits) {
  if (rsa_bits > 0) return {"-newkey", "rsa:" + std::to_string(rsa_bits), "-nodes"};
  return {"-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"};
}

// The beginning of a command that takes it to be so much later. The command faketime would share memory under the
// number of its process, which in a sandbox is that of a process in another one.
Command At(const std::string& offset) {
  return {"env", "LD_PRELOAD=/usr/$LIB/faketime/libfaketime.so.1", "FAKETIME=" + offset};
}

void Append(const Command& more, Command* command) { command->insert(command->end(), more.begin(), more.end()); }

bool Run(const Command& command) {
  ExitStatus status;
  RunCommand(command, &status);
  return status.code == 0;
}

}  // namespace

CertificateAuthority::CertificateAuthority(const std::string& folder, const std::string& name)
    : prefix_(folder + "/" + name), ca_file_(prefix_ + ".pem") {
  Command command = {"openssl", "req", "-x509"};
  Append(NewKey(0), &command);
  Append({"-days", "30", "-subj", "/CN=" + name, "-keyout", prefix_ + "-key.pem", "-out", ca_file_}, &command);
  Run(command);
}

Certificates CertificateAuthority::Sign(const std::string& name, const Wanted& wanted) {
  const std::string file = prefix_ + "-" + name, request = file + ".csr", extensions = file + ".ext";
  const Certificates made{ca_file_, file + ".pem", file + "-key.pem"};
  Command ask = {"openssl", "req", "-new", "-utf8"};
  Append(NewKey(wanted.rsa_bits), &ask);
  // Slashes are part of the name, and do not begin another.
  std::string subject = "/CN=";
  for (const char c : wanted.common_name) subject += c == '/' ? std::string("\\/") : std::string(1, c);
  Append({"-subj", subject, "-keyout", made.key_file, "-out", request}, &ask);
  Command sign;
  if (wanted.dates == Wanted::Dates::kToCome) sign = At("+10d");
  Append({"openssl", "x509", "-req", "-days", wanted.dates == Wanted::Dates::kOver ? "-1" : "1", "-in", request, "-CA",
          ca_file_, "-CAkey", prefix_ + "-key.pem", "-CAcreateserial", "-out", made.cert_file},
         &sign);
  if (!wanted.alternative_names.empty()) {
    std::ofstream(extensions) << "subjectAltName=" << wanted.alternative_names << "\n";
    Append({"-extfile", extensions}, &sign);
  }
  if (Run(ask)) Run(sign);
  return made;
}

bool Exist(const Certificates& certificates) {
  for (const std::string* file : {&certificates.ca_file, &certificates.cert_file, &certificates.key_file}) {
    if (access(file->c_str(), R_OK) != 0) return false;
  }
  return true;
}

std::optional<Certificates> MakeCertificates(const std::string& folder) {
  CertificateAuthority authority(folder, "ca");
  const Certificates made = authority.Sign("server");
  if (!Exist(made)) return std::nullopt;
  return made;
}

std::string HttpsOf(const Certificates& certificates, uint16_t port) {
  return "ports { https = " + std::to_string(port) + " }\nca_file = \"" + certificates.ca_file + "\"\ncert_file = \"" +
         certificates.cert_file + "\"\nkey_file = \"" + certificates.key_file + "\"\n";
}

}  // namespace meshgate::testing
