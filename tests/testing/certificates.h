#ifndef MESHGATE_TESTS_TESTING_CERTIFICATES_H_
#define MESHGATE_TESTS_TESTING_CERTIFICATES_H_

#include <cstdint>
#include <optional>
#include <string>

namespace meshgate::testing {

// PEM files.
struct Certificates {
  std::string ca_file;
  std::string cert_file;
  std::string key_file;
};

// An authority with a key of its own, which signs what it is asked to with the command openssl. What fails has said why
// on standard error, and leaves files out.
class CertificateAuthority {
 public:
  // Keeps all files in `folder`, under names that begin with `name`.
  CertificateAuthority(const std::string& folder, const std::string& name);

  const std::string& ca_file() const { return ca_file_; }

  struct Wanted {
    std::string common_name = "test agent";
    // As openssl writes it; empty: none.
    std::string alternative_names = "IP:127.0.0.1";
    enum class Dates { kNow, kOver, kToCome } dates = Dates::kNow;
    // With 2048 a handshake takes a server ten times as long as with a curve, and with 4096 fifty times; 0: a curve.
    int rsa_bits = 0;
  };
  // Good for a day, in files named after `name`.
  Certificates Sign(const std::string& name, const Wanted& wanted);
  Certificates Sign(const std::string& name) { return Sign(name, Wanted()); }

 private:
  const std::string prefix_;
  const std::string ca_file_;
};

// Whether all files of it are there.
bool Exist(const Certificates& certificates);

// Configuration that has a ConsulAgent speak HTTPS with them on this port, too.
std::string HttpsOf(const Certificates& certificates, uint16_t port);

// Makes a certificate authority and a certificate for 127.0.0.1 that it has signed, good for a day. nullopt: that
// failed, and has said why on standard error.
std::optional<Certificates> MakeCertificates(const std::string& folder);

}  // namespace meshgate::testing

#endif  // MESHGATE_TESTS_TESTING_CERTIFICATES_H_
