#ifndef MESHGATE_TESTS_FAULT_SUBSCRIBERS_H_
#define MESHGATE_TESTS_FAULT_SUBSCRIBERS_H_

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/time.h"
#include "consul/base/mutex.h"
#include "tests/fault/history.h"

namespace meshgate::fault {

// Where a subscriber connects to. `generation` says which process it is at the moment: the owner counts it up before it
// starts another one at the same address.
struct Gateway {
  std::string address;
  std::atomic<int>* generation = nullptr;
};

// Readers of WatchConfig and WatchService, each with a thread, that log every response. One whose stream ends
// subscribes again with its last token, for ever.
class Subscribers {
 public:
  struct Spec {
    std::string name;
    Target target;
    // Where it goes: the first one always, or at random where it roams.
    std::vector<Gateway> gateways;
    // Between taking two responses: a reader that lags.
    absl::Duration pause;
    // Leaves after up to this many responses and comes back with its token; 0: stays.
    int leaves_after = 0;
  };

  explicit Subscribers(History* history);
  // Cancels all streams.
  ~Subscribers();

  void Add(const Spec& spec);

  // Those that leave and come back stay away from here on, all of them when it returns, until ComeBack().
  void StayAway();
  void ComeBack();

  // Those that lag make no pauses: what they have not taken yet waits on its way to them, not in the gateway.
  void SetHurry(bool hurry);

  // Ends all streams and threads.
  void Stop();

 private:
  class One;

  History* const history_;
  std::vector<std::unique_ptr<One>> all_;
};

}  // namespace meshgate::fault

#endif  // MESHGATE_TESTS_FAULT_SUBSCRIBERS_H_
