// watch.
#include "client/ctl/app.h"
#include "client/ctl/failure.h"
#include "client/ctl/output.h"
#include "client/watch.h"

namespace meshgate::ctl {
namespace {

// Prints data to `out`, and to `err` what a human who looks on wants to know.
template <typename Traits>
class Printer final : public client::Watch<Traits>::Listener {
 public:
  Printer(const Context& context, uint64_t count) : context_(context), count_(count) {}

  bool OnUpdate(const typename client::Watch<Traits>::Update& update) override {
    std::ostream& out = *context_.environment->out;
    std::ostream& err = *context_.environment->err;
    if (disconnected_) err << "meshgatectl: watch: connected again" << std::endl;
    disconnected_ = false;
    if (update.became_stale) {
      err << "meshgatectl: watch: stale: the gateway has lost Consul; this is the last state known" << std::endl;
    }
    if (update.recovered) err << "meshgatectl: watch: current again" << std::endl;
    if (context_.format == Format::kJson) {
      PrintJson(update.response, out);
    } else {
      for (const auto& event : update.changes) PrintEvent(event, out);
      if (!announced_ && update.state.known() && update.state.items().empty()) {
        err << "meshgatectl: watch: nothing there yet, waiting" << std::endl;
      }
    }
    announced_ = announced_ || update.state.known();
    out.flush();
    const bool is_state = update.response.snapshot() || update.response.events_size() > 0;
    if (is_state) ++seen_;
    return out.good() && (count_ == 0 || seen_ < count_);
  }

  void OnDisconnected(const absl::Status& status, absl::Duration retry_in) override {
    disconnected_ = true;
    *context_.environment->err << "meshgatectl: watch: " << DescribeFailure(status, context_.client->endpoint())
                               << "; trying again in "
                               << absl::FormatDuration(absl::Trunc(retry_in, absl::Milliseconds(1))) << std::endl;
  }

 private:
  const Context& context_;
  const uint64_t count_;
  uint64_t seen_ = 0;
  bool disconnected_ = false;
  bool announced_ = false;
};

template <typename Traits>
Outcome RunWatch(const typename Traits::Request& request, const WatchArgs& args, const Context& context) {
  client::WatchOptions options;
  options.reconnect = args.reconnect;
  client::Watch<Traits> watch(context.client, request, options);
  Printer<Traits> printer(context, args.count);
  return {watch.Run(&printer, context.environment->cancellation)};
}

}  // namespace

Outcome Run(const WatchArgs& args, const Context& context) {
  if (const auto* config = std::get_if<v1::WatchConfigRequest>(&args.request)) {
    return RunWatch<client::ConfigTraits>(*config, args, context);
  }
  return RunWatch<client::ServiceTraits>(std::get<v1::WatchServiceRequest>(args.request), args, context);
}

}  // namespace meshgate::ctl
