#include "tests/fault/load.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "tests/fault/writers.h"

namespace meshgate::fault {
namespace {

constexpr size_t kBigValue = 40 * 1024;

std::string Name(const std::string& prefix, std::mt19937& random, unsigned count) {
  return absl::StrCat(prefix, random() % count);
}

bool OneIn(std::mt19937& random, unsigned n) { return random() % n == 0; }

}  // namespace

Load::Load(History* history, const Places& places) {
  auto agent = [&](int writer) { return std::make_shared<AgentWriter>(history, writer, places.agent_url); };
  auto gateway = [&](int writer) { return std::make_shared<GatewayWriter>(history, writer, places.gateway); };
  Run(1, absl::Milliseconds(15), [to = agent(1)](Random& random) {
    const std::string key = Name("load/a/", random, 8);
    OneIn(random, 6) ? to->Delete(key) : to->Put(key);
  });
  Run(2, absl::Milliseconds(25), [to = gateway(2)](Random& random) {
    const std::string key = Name("load/g/", random, 8);
    OneIn(random, 6) ? to->Delete(key) : to->Put(key);
  });
  for (int writer : {3, 4}) {
    Run(writer, absl::Milliseconds(30),
        [to = gateway(writer)](Random& random) { to->Increment(Name("load/c/", random, 2)); });
  }
  Run(5, absl::Milliseconds(30), [to = agent(5)](Random& random) {
    const std::string group = Name("txn/", random, 3);
    const std::vector<std::string> keys = {group + "/x", group + "/y", group + "/z"};
    OneIn(random, 6) ? to->DeleteAll(keys) : to->PutAll(keys);
  });
  Run(6, absl::Milliseconds(60), [to = agent(6)](Random& random) {
    const std::string key = Name("big/", random, 6);
    OneIn(random, 8) ? to->Delete(key) : to->Put(key, kBigValue);
  });
  Run(7, absl::Milliseconds(60),
      [to = std::make_shared<AgentWriter>(history, 7, places.service_agent_url)](Random& random) {
        const std::string id = Name("web-1", random, 3);
        switch (random() % 4) {
          case 0:
            to->Deregister(id);
            break;
          case 1:
            to->SetHealth(id, OneIn(random, 2));
            break;
          default:
            to->Register(id, OneIn(random, 2));
        }
      });
  Run(8, absl::Milliseconds(80), [to = gateway(8)](Random& random) {
    const std::string id = Name("web-2", random, 2);
    OneIn(random, 4) ? to->Deregister(id) : to->Register(id, true);
  });
}

Load::~Load() {
  {
    MutexLock lock(mu_);
    stopped_ = true;
    changed_.NotifyAll();
  }
  for (std::thread& thread : threads_) thread.join();
}

void Load::Resume() {
  MutexLock lock(mu_);
  paused_ = false;
  changed_.NotifyAll();
}

void Load::Pause() {
  MutexLock lock(mu_);
  paused_ = true;
  while (writing_ > 0) changed_.Wait(mu_);
}

void Load::Run(int writer, absl::Duration pause, std::function<void(Random&)> step) {
  threads_.emplace_back([this, writer, pause, step = std::move(step)] {
    Random random(static_cast<unsigned>(writer));
    while (true) {
      {
        MutexLock lock(mu_);
        while (paused_ && !stopped_) changed_.Wait(mu_);
        if (stopped_) return;
        ++writing_;
      }
      step(random);
      MutexLock lock(mu_);
      --writing_;
      changed_.NotifyAll();
      // Others notify, too.
      for (const absl::Time until = absl::Now() + pause; !stopped_ && changed_.WaitUntil(mu_, until);) {
      }
    }
  });
}

}  // namespace meshgate::fault
