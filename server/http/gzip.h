#ifndef MESHGATE_SERVER_HTTP_GZIP_H_
#define MESHGATE_SERVER_HTTP_GZIP_H_

#include <string_view>

#include "server/http/router.h"

namespace meshgate::server {

// Whether an Accept-Encoding lets an answer be packed with gzip.
bool AcceptsGzip(std::string_view accept_encoding);

// Packs large bodies for clients that take them so, where that makes them smaller, on the thread that answers. What is
// streamed stays as it is: its pieces are small and must not wait for each other.
HttpFilter GzipFilter();

}  // namespace meshgate::server

#endif  // MESHGATE_SERVER_HTTP_GZIP_H_
