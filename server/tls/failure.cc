#include "server/tls/failure.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>

namespace meshgate::server::tls {
namespace {

using Reason = metrics::HandshakeFailure;

Reason OfVerification(long result) {
  switch (result) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return Reason::kExpiredCertificate;
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:
    case X509_V_ERR_CERT_UNTRUSTED:
      return Reason::kUnknownCa;
    default:
      return Reason::kBadCertificate;
  }
}

Reason OfError(int reason, long verify_result) {
  switch (reason) {
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
      return Reason::kNoCertificate;
    case SSL_R_CERTIFICATE_VERIFY_FAILED:
      return OfVerification(verify_result);
    case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
    case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
    case SSL_R_TLSV1_ALERT_ACCESS_DENIED:
      return Reason::kRefusedByClient;
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_NO_PROTOCOLS_AVAILABLE:
    case SSL_R_VERSION_TOO_LOW:
    case SSL_R_WRONG_SSL_VERSION:
    case SSL_R_TLSV1_ALERT_PROTOCOL_VERSION:
      return Reason::kVersion;
    case SSL_R_NO_SHARED_CIPHER:
    case SSL_R_NO_SUITABLE_KEY_SHARE:
    case SSL_R_NO_SHARED_GROUPS:
    case SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM:
      return Reason::kCipher;
    case SSL_R_NO_APPLICATION_PROTOCOL:
      return Reason::kAlpn;
    case SSL_R_HTTP_REQUEST:
    case SSL_R_HTTPS_PROXY_REQUEST:
    // Of a record whose version is no version of TLS.
    case SSL_R_WRONG_VERSION_NUMBER:
      return Reason::kPlaintext;
    case SSL_R_UNEXPECTED_EOF_WHILE_READING:
      return Reason::kClosed;
    default:
      return Reason::kProtocol;
  }
}

}  // namespace

Failure FailureOf(unsigned long error, long verify_result) {
  const int reason = ERR_GET_LIB(error) == ERR_LIB_SSL ? ERR_GET_REASON(error) : 0;
  Failure failure{OfError(reason, verify_result), "", reason == SSL_R_HTTP_REQUEST};
  const char* detail = reason == SSL_R_CERTIFICATE_VERIFY_FAILED ? X509_verify_cert_error_string(verify_result)
                                                                 : ERR_reason_error_string(error);
  if (detail != nullptr) failure.detail = detail;
  return failure;
}

}  // namespace meshgate::server::tls
