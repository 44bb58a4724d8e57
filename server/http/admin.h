#ifndef MESHGATE_SERVER_HTTP_ADMIN_H_
#define MESHGATE_SERVER_HTTP_ADMIN_H_

#include <functional>
#include <string>

#include "server/http/router.h"

namespace meshgate::server {

// Whether the process can do its work, and if not, why.
struct Readiness {
  bool ready = false;
  // In a few words for whoever looks at a probe: "draining", "consul cannot be reached".
  std::string reason;
};

// What operators and their tools ask for.
struct AdminSources {
  std::function<Readiness()> readiness;
  // The exposition and its Content-Type.
  std::function<std::string()> metrics;
  std::string metrics_content_type;
};

// Adds / (a short index), /livez (200 "ok"), /readyz (200 or 503, with the reason as JSON)
// and /metrics. The sources are called on the HTTP threads.
void AddAdminRoutes(AdminSources sources, Router* router);

}  // namespace meshgate::server

#endif  // MESHGATE_SERVER_HTTP_ADMIN_H_
