#ifndef MESHGATE_SERVER_HTTP_CORS_H_
#define MESHGATE_SERVER_HTTP_CORS_H_

#include <string>
#include <vector>

#include "server/http/router.h"

namespace meshgate::server {

// Lets pages of these origins ("https://ui.example.com") call the API from a browser: answers their preflights, and
// says with each answer that they may read it (the Fetch standard, CORS protocol). Nobody else's, and no other path
// than those below /api/ and /openapi.json. A browser sends no token by itself, so there are no credentials to allow.
HttpFilter CorsFilter(std::vector<std::string> origins);

}  // namespace meshgate::server

#endif  // MESHGATE_SERVER_HTTP_CORS_H_
