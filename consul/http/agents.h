#ifndef MESHGATE_CONSUL_HTTP_AGENTS_H_
#define MESHGATE_CONSUL_HTTP_AGENTS_H_

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

namespace meshgate::consul::http {

// Which of several agents is used, and which is asked next whether it is there.
//
// The first one is used until it is away, then the next one that answers, round and round. There is no going back as
// long as the one in use answers: registrations live with the agent that took them, and a change of agents ends every
// query under way. Pure; not thread-safe.
class Agents {
 public:
  // `urls` is not empty.
  explicit Agents(std::vector<std::string> urls) : urls_(std::move(urls)) {}

  // The one in use.
  const std::string& current() const { return urls_[current_]; }
  // The one that is asked next: the one in use until that is away.
  const std::string& candidate() const { return urls_[candidate_]; }
  bool candidate_is_current() const { return candidate_ == current_; }

  // The candidate is away; the next one is asked in its place. Returns whether some have not been asked in this round.
  bool OnAway() {
    candidate_ = (candidate_ + 1) % urls_.size();
    asked_ = (asked_ + 1) % urls_.size();
    return asked_ != 0;
  }

  // The candidate is there. Returns whether another one is in use from now on.
  bool OnAnswered() {
    asked_ = 0;
    return std::exchange(current_, candidate_) != candidate_;
  }

  // The one in use has shown a sign of life: it is the next to be asked.
  void AskCurrent() { candidate_ = current_; }

 private:
  const std::vector<std::string> urls_;
  size_t current_ = 0;
  size_t candidate_ = 0;
  size_t asked_ = 0;  // without an answer, in this round
};

}  // namespace meshgate::consul::http

#endif  // MESHGATE_CONSUL_HTTP_AGENTS_H_
