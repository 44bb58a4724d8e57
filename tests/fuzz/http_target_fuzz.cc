// Methods and targets of HTTP requests, from the request line to a handler.
#include <string>
#include <utility>

#include "server/http/origin_form.h"
#include "server/http/router.h"
#include "tests/fuzz/input.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace meshgate::server;  // NOLINT
  static const Router& router = *[] {
    auto* made = new Router();
    const auto echo = [](const HttpRequest& request, HttpReply reply) { reply({200, "text/plain", request.path, {}}); };
    made->Add("GET", "/livez", echo);
    made->Add("PUT", "/api/v1/config/*", echo);
    made->Add("GET", "/api/*", echo);
    return made;
  }();
  meshgate::fuzz::Input input(data, size);
  static const char* const kMethods[] = {"GET", "HEAD", "PUT", "DELETE", "", "get"};
  HttpRequest request;
  request.method = kMethods[input.Byte() % 6];
  const std::string sent(input.rest());
  const std::string target = OriginForm(sent);
  // Once it is a path, it stays as it is.
  if (!target.empty() && target[0] == '/') MESHGATE_FUZZ_CHECK(OriginForm(target) == target);
  MESHGATE_FUZZ_CHECK(target.size() <= sent.size() + 1);
  const size_t query = target.find('?');
  request.path = target.substr(0, query);
  if (query != std::string::npos) request.query = target.substr(query + 1);
  int answers = 0;
  router.Handle(request, [&](HttpResponse response) {
    ++answers;
    MESHGATE_FUZZ_CHECK(response.status == 200 || response.status == 404 || response.status == 405);
    // A handler gets what is below its path alone.
    if (response.status == 200)
      MESHGATE_FUZZ_CHECK(request.path == "/livez" || request.path.compare(0, 5, "/api/") == 0);
  });
  MESHGATE_FUZZ_CHECK(answers == 1);
  return 0;
}
