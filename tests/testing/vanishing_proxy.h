#ifndef MESHGATE_TESTS_TESTING_VANISHING_PROXY_H_
#define MESHGATE_TESTS_TESTING_VANISHING_PROXY_H_

#include <atomic>
#include <string>
#include <thread>
#include <vector>

namespace meshgate::testing {

// Stands between a client and a server on the loopback and passes bytes on until it is told to vanish: from then on
// nothing passes and nobody is told, as when a cable is cut or a machine loses its power. (What the kernel buffers it
// still acknowledges: this is about ends that only a question of their own finds dead.)
class VanishingProxy {
 public:
  // `target` is 127.0.0.1:PORT.
  explicit VanishingProxy(const std::string& target);
  // Closes everything.
  ~VanishingProxy();
  VanishingProxy(const VanishingProxy&) = delete;
  VanishingProxy& operator=(const VanishingProxy&) = delete;

  // "127.0.0.1:port"; empty where it could not listen.
  const std::string& address() const { return address_; }

  void Vanish() { vanished_ = true; }

 private:
  struct Pair {
    int client;
    int server;
  };

  void Run();
  void Accept();
  // False where either end has closed.
  bool PassOn(int from, int to);

  const std::string target_;
  std::string address_;
  int listener_ = -1;
  // An end of a pipe that the destructor closes.
  int stop_[2];
  std::atomic<bool> vanished_{false};
  std::vector<Pair> pairs_;  // of the thread
  std::thread thread_;
};

}  // namespace meshgate::testing

#endif  // MESHGATE_TESTS_TESTING_VANISHING_PROXY_H_
