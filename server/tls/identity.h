#ifndef MESHGATE_SERVER_TLS_IDENTITY_H_
#define MESHGATE_SERVER_TLS_IDENTITY_H_

#include <openssl/types.h>

#include <string>

namespace meshgate::server::tls {

// Who a certificate says that its holder is: its SPIFFE ID ("spiffe://domain/path", in a URI among the subject's
// alternative names), or else its subject's common name. Empty where it says neither, or nothing clear: a SPIFFE ID
// beside another URI, of more than 2,048 bytes, or with anything but printable ASCII, "?", "#", "%", an empty segment,
// "." or
// ".."; a common name that looks like one, or with control characters.
std::string IdentityOf(const X509* certificate);

// The same of the other end; empty where it has shown no certificate.
std::string IdentityOfPeer(const SSL* ssl);

}  // namespace meshgate::server::tls

#endif  // MESHGATE_SERVER_TLS_IDENTITY_H_
