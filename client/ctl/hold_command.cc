// hold.
#include "client/ctl/app.h"
#include "client/ctl/failure.h"
#include "client/ctl/output.h"
#include "client/hold.h"

namespace meshgate::ctl {
namespace {

class Printer final : public client::Hold::Listener {
 public:
  explicit Printer(const Context& context) : context_(context) {}

  void OnState(const v1::HoldRegistrationResponse& state) override {
    std::ostream& out = *context_.environment->out;
    if (disconnected_) *context_.environment->err << "meshgatectl: hold: connected again" << std::endl;
    disconnected_ = false;
    if (context_.format == Format::kJson) {
      PrintJson(state, out);
    } else {
      PrintHold(state, out);
    }
    out.flush();
  }

  void OnDisconnected(const absl::Status& status, absl::Duration retry_in) override {
    disconnected_ = true;
    *context_.environment->err << "meshgatectl: hold: " << DescribeFailure(status, context_.client->endpoint())
                               << "; trying again in "
                               << absl::FormatDuration(absl::Trunc(retry_in, absl::Milliseconds(1))) << std::endl;
  }

 private:
  const Context& context_;
  bool disconnected_ = false;
};

}  // namespace

Outcome Run(const HoldArgs& args, const Context& context) {
  client::HoldOptions options;
  options.linger = args.linger;
  options.reconnect = args.reconnect;
  client::Hold hold(context.client, args.request, options);
  Printer printer(context);
  const absl::Status ended = hold.Run(&printer, context.environment->cancellation);
  if (context.environment->cancellation->cancelled()) {
    *context.environment->err << "meshgatectl: hold: "
                              << (ended.ok() ? "deregistered" : DescribeFailure(ended, context.client->endpoint()))
                              << std::endl;
  }
  return {ended};
}

}  // namespace meshgate::ctl
