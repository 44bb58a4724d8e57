#ifndef MESHGATE_SERVER_WIRE_METHOD_TABLE_H_
#define MESHGATE_SERVER_WIRE_METHOD_TABLE_H_

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "metrics/registry.h"
#include "server/call_scope.h"
#include "server/wire/native_call.h"
#include "server/wire/stream_call.h"

namespace meshgate::server::wire {

// The methods that are served natively, by path. Filled before the first call; the calls use what is in it.
class MethodTable {
 public:
  // What `environment` points to, and the reporter, outlive the table.
  MethodTable(const NativeEnvironment& environment, metrics::RpcReporter* reporter)
      : environment_(environment), reporter_(reporter) {}
  MethodTable(const MethodTable&) = delete;
  MethodTable& operator=(const MethodTable&) = delete;

  template <typename Request, typename Response>
  void AddUnary(std::string_view service, std::string_view method,
                typename UnaryCall<Request, Response>::Handler handler) {
    Add(Type::kUnary, service, method, std::move(handler), [this](Stream* stream, const auto& entry) {
      return std::make_shared<UnaryCall<Request, Response>>(stream, &entry.info, environment_, &entry.handler);
    });
  }

  template <typename Request>
  void AddWatch(std::string_view service, std::string_view method, typename WatchCall<Request>::Handler handler) {
    Add(Type::kServerStream, service, method, std::move(handler), [this](Stream* stream, const auto& entry) {
      return std::make_shared<WatchCall<Request>>(stream, &entry.info, environment_, &entry.handler);
    });
  }

  void AddHold(std::string_view service, std::string_view method, HoldKeeper* keeper) {
    Add(Type::kBidiStream, service, method, keeper, [this](Stream* stream, const auto& entry) {
      return std::make_shared<HoldCall>(stream, &entry.info, environment_, entry.handler);
    });
  }

  // Null where there is none at this path.
  const CallFactory* Find(const std::string& path) const {
    const auto found = factories_.find(path);
    return found == factories_.end() ? nullptr : &found->second;
  }

 private:
  using Type = metrics::RpcReporter::Type;

  template <typename Handler>
  struct Entry {
    MethodInfo info;
    Handler handler;
  };

  template <typename Handler, typename Make>
  void Add(Type type, std::string_view service, std::string_view method, Handler handler, Make make) {
    const std::string in(service), name(method);
    auto entry = std::make_shared<const Entry<Handler>>(
        Entry<Handler>{{in, name, reporter_->Method(type, service, method)}, std::move(handler)});
    factories_.emplace(absl::StrCat("/", in, "/", name),
                       [entry = std::move(entry), make](Stream* stream) { return make(stream, *entry); });
  }

  const NativeEnvironment environment_;
  metrics::RpcReporter* const reporter_;
  absl::flat_hash_map<std::string, CallFactory> factories_;
};

}  // namespace meshgate::server::wire

#endif  // MESHGATE_SERVER_WIRE_METHOD_TABLE_H_
