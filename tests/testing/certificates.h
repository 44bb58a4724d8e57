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

// Configuration that has a ConsulAgent speak HTTPS with them on this port, too.
std::string HttpsOf(const Certificates& certificates, uint16_t port);

// Makes a certificate authority and a certificate for 127.0.0.1 that it has signed, good for a day, with the command
// openssl. nullopt: that failed, and has said why on standard error.
std::optional<Certificates> MakeCertificates(const std::string& folder);

}  // namespace meshgate::testing

#endif  // MESHGATE_TESTS_TESTING_CERTIFICATES_H_
