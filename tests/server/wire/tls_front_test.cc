// The front over TLS, with peers that do as the test says.
#include <gtest/gtest.h>
#include <openssl/err.h>
#include <poll.h>

#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "consul/base/mutex.h"
#include "consul/base/thread_pool_scheduler.h"
#include "server/wire/front.h"
#include "server/wire/stream.h"
#include "tests/server/tls/test_endpoint.h"
#include "tests/server/wire/h2_client.h"
#include "tests/testing/manual_scheduler.h"
#include "tests/testing/tls_client.h"

namespace meshgate::server::wire {
namespace {

using metrics::HandshakeFailure;
using testing::H2Client;
using testing::TestEndpoint;
using testing::TlsClient;
using Wanted = testing::CertificateAuthority::Wanted;

// Where the loop stands until the test lets it go on.
class Gate {
 public:
  void Pass() {
    MutexLock lock(mu_);
    reached_ = true;
    changed_.NotifyAll();
    while (!open_) changed_.Wait(mu_);
  }
  void WaitUntilReached() {
    MutexLock lock(mu_);
    while (!reached_) changed_.Wait(mu_);
  }
  void Open() {
    MutexLock lock(mu_);
    open_ = true;
    changed_.NotifyAll();
  }

 private:
  Mutex mu_;
  CondVar changed_;
  bool reached_ ABSL_GUARDED_BY(mu_) = false;
  bool open_ ABSL_GUARDED_BY(mu_) = false;
};

// Says what it hears, after the gate at /gate; at /who who its caller is, and at /large more than any socket takes.
class Echo final : public Call {
 public:
  static constexpr int kLarge = 40;

  Echo(Stream* stream, Gate* gate) : stream_(stream) {
    const std::string& path = stream->head().path;
    if (path == "/gate") gate->Pass();
    if (path == "/who") to_send_.push_back("<" + stream->tls_identity() + ">");
    for (int i = 0; path == "/large" && i < kLarge; ++i)
      to_send_.emplace_back(1 << 20, static_cast<char>('a' + i % 26));
    stream->Ready();
  }
  void OnMessage(std::string message) override {
    to_send_.push_back(std::move(message));
    stream_->Ready();
  }
  void OnHalfClose() override { stream_->Finish({}); }
  SharedBytes NextMessage() override {
    if (to_send_.empty()) return nullptr;
    auto message = std::make_shared<const std::string>(std::move(to_send_.front()));
    to_send_.pop_front();
    return message;
  }
  Ending OnStalled(absl::Duration) override { return {14, "stalled", {}}; }
  void OnClosed(Why) override {}

 private:
  Stream* const stream_;
  std::deque<std::string> to_send_;
};

// An HTTP/2 client over TLS.
class Peer {
 public:
  Peer(const std::string& address, const TlsClient::Options& options, uint32_t window = 65535)
      : tls_(address, options), client_(window) {}

  TlsClient& tls() { return tls_; }
  H2Client& client() { return client_; }

  void Send() {
    const std::string bytes = client_.Output();
    if (!bytes.empty()) tls_.Write(bytes);
  }
  // Carries bytes both ways until it holds, or the server has closed.
  bool Until(const std::function<bool()>& holds) {
    while (!holds()) {
      Send();
      const std::string bytes = tls_.Read();
      if (bytes.empty()) return false;
      client_.Receive(bytes);
    }
    return true;
  }
  // Opens a call and hears its first message.
  std::string Call(const std::string& path, const std::string& message = "") {
    const int32_t id = client_.Begin(H2Client::Call(path));
    if (!message.empty()) client_.Send(id, H2Client::Framed(message));
    const auto first = [&] { return client_.response(id).messages(); };
    // One that has begun stands there as "+BYTES".
    if (!Until([&] { return !first().empty() && first()[0][0] != '+'; })) return "closed: " + tls_.error();
    return first()[0];
  }

 private:
  TlsClient tls_;
  H2Client client_;
};

class Cuts final : public metrics::ConnectionReporter {
 public:
  void OnCut(Cut why) override { count_ += why == Cut::kProtocol ? 1 : 0; }
  int count() const { return count_; }

 private:
  std::atomic<int> count_{0};
};

class TlsFrontTest : public ::testing::Test {
 protected:
  void Start(const Wanted& wanted = {}, Scheduler* clock = nullptr) {
    options_.listen = {"127.0.0.1:0"};
    options_.threads = 1;
    options_.connection.reporter = &cuts_;
    options_.connection.tls = test_.Open(wanted);
    auto front = Front::Start(options_, clock != nullptr ? clock : &clock_, &watches_,
                              [this](Stream* stream) { return std::make_shared<Echo>(stream, &gate_); });
    ASSERT_TRUE(front.ok()) << front.status();
    front_ = *std::move(front);
  }
  const std::string& address() const { return front_->addresses().at(0); }
  std::unique_ptr<Peer> Connect(const TlsClient::Options& options = {}) {
    auto peer = std::make_unique<Peer>(address(), options);
    EXPECT_TRUE(peer->tls().Handshake()) << peer->tls().error();
    return peer;
  }
  std::unique_ptr<TlsClient> ConnectOnly() { return std::make_unique<TlsClient>(address(), TlsClient::Options()); }
  int Failures(HandshakeFailure failure) { return test_.notes().failures(failure); }

  testing::ManualScheduler clock_;
  TestEndpoint test_{&clock_, 200};
  consul::WatchReporter watches_;
  Cuts cuts_;
  Gate gate_;
  FrontOptions options_;
  std::unique_ptr<Front> front_;
};

// Would break if a call did not know whose it is, or took somebody's word for it.
TEST_F(TlsFrontTest, CallsKnowWhoseTheyAre) {
  test_.options().context.files.client_ca_file = test_.authority().ca_file();
  Start();
  struct Case {
    const char* common_name;
    const char* alternative_names;
    const char* identity;
  };
  for (const Case& c : {Case{"web", "URI:spiffe://example/web", "<spiffe://example/web>"},
                        Case{"batch", "DNS:batch.example", "<batch>"}}) {
    Wanted wanted;
    wanted.common_name = c.common_name;
    wanted.alternative_names = c.alternative_names;
    const auto files = test_.authority().Sign(c.common_name, wanted);
    TlsClient::Options options;
    options.cert_file = files.cert_file;
    options.key_file = files.key_file;
    auto peer = Connect(options);
    EXPECT_EQ(peer->Call("/who"), c.identity);
  }
  EXPECT_EQ(Failures(HandshakeFailure::kProtocol), 0);
}

// Would break if a client could go on with a certificate that has expired, or whose authority is gone, by a session
// that began before.
TEST_F(TlsFrontTest, WithClientCertificatesNoSessionIsResumed) {
  test_.options().context.files.client_ca_file = test_.authority().ca_file();
  Start();
  const auto files = test_.authority().Sign("client");
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    TlsClient::Options options;
    options.cert_file = files.cert_file;
    options.key_file = files.key_file;
    options.min_version = options.max_version = version;
    const auto first = Connect(options);
    EXPECT_EQ(first->Call("/who"), "<test agent>");
    options.session = first->tls().session();
    Peer again(address(), options);
    EXPECT_TRUE(again.tls().Handshake());
    EXPECT_FALSE(again.tls().resumed());
    EXPECT_EQ(again.Call("/who"), "<test agent>");
  }
}

// Would break if a peer that only asks to begin anew, which TLS 1.2 has and this port does not do, had the answers pile
// up, or could have them for ever.
TEST_F(TlsFrontTest, RenegotiationIsRefusedAndNotForEver) {
  Start();
  TlsClient::Options options;
  options.max_version = TLS1_2_VERSION;
  auto peer = Connect(options);
  ASSERT_EQ(peer->Call("/echo", "hello"), "hello");
  int asked = 0;
  for (; asked < 1'000 && SSL_renegotiate(peer->tls().raw()) == 1; ++asked) {
    if (SSL_do_handshake(peer->tls().raw()) == 1) continue;
    ERR_clear_error();
    // The refusal ends the client's wish, and not the connection.
    if (!peer->tls().Write("")) break;
  }
  EXPECT_TRUE(peer->tls().WaitForClose());
}

// The same where no certificate is asked for.
TEST_F(TlsFrontTest, WithoutACertificateNobodyIsKnown) {
  Start();
  EXPECT_EQ(Connect()->Call("/who"), "<>");
}

// Would break if what a socket does not take at once were lost, or came in another order than it was encrypted in.
TEST_F(TlsFrontTest, AReaderThatIsSlowGetsAll) {
  Start();
  auto peer = std::make_unique<Peer>(address(), TlsClient::Options(), 1 << 30);
  ASSERT_TRUE(peer->tls().Handshake());
  const int32_t id = peer->client().Begin(H2Client::Call("/large"));
  peer->client().OpenWindow(0, 1 << 30);
  peer->Send();
  // Another one is served meanwhile: the socket of the first is full by then, or will be.
  EXPECT_EQ(Connect()->Call("/echo", "hello"), "hello");
  ASSERT_TRUE(peer->Until([&] { return peer->client().response(id).data.size() == Echo::kLarge * ((1 << 20) + 5); }));
  const auto messages = peer->client().response(id).messages();
  ASSERT_EQ(messages.size(), Echo::kLarge);
  for (int i = 0; i < Echo::kLarge; ++i)
    EXPECT_TRUE(messages[i] == std::string(1 << 20, static_cast<char>('a' + i % 26))) << i;
}

// Would break if what was decrypted and not taken yet waited for more to come.
TEST_F(TlsFrontTest, AFullRecordIsTakenWhole) {
  Start();
  auto peer = std::make_unique<Peer>(address(), TlsClient::Options(), 1 << 20);
  ASSERT_TRUE(peer->tls().Handshake());
  peer->client().OpenWindow(0, 1 << 20);
  // Each write is as many records as it takes; nothing follows the last one.
  for (const size_t size : {1, 511, 512, 513, 16'000, 16'384, 60'000}) {
    const std::string message(size, 'x');
    EXPECT_TRUE(peer->Call("/echo", message) == message) << size;
  }
}

// Would break if a client that changes keys, as long-lived ones must, were cut off, or one that does nothing else not.
TEST_F(TlsFrontTest, NewKeysAreTakenWithinReason) {
  Start();
  auto peer = Connect();
  ASSERT_EQ(peer->tls().version(), "TLSv1.3");
  for (int i = 0; i < 100; ++i) {
    ASSERT_EQ(SSL_key_update(peer->tls().raw(), SSL_KEY_UPDATE_REQUESTED), 1);
    ASSERT_EQ(peer->Call("/echo", "hello"), "hello");
  }
  EXPECT_EQ(cuts_.count(), 0);
  for (int i = 0; i < 10'000; ++i) {
    SSL_key_update(peer->tls().raw(), SSL_KEY_UPDATE_NOT_REQUESTED);
    if (SSL_do_handshake(peer->tls().raw()) != 1) break;
  }
  EXPECT_TRUE(peer->tls().WaitForClose());
  EXPECT_EQ(cuts_.count(), 1);
}

// Would break if who never finishes a handshake kept a connection and its place, or an established one were closed with
// them.
TEST_F(TlsFrontTest, SlowHandshakesAreClosed) {
  Start();
  auto established = Connect();
  ASSERT_EQ(established->Call("/echo", "hello"), "hello");
  std::vector<std::unique_ptr<TlsClient>> slow;
  for (int i = 0; i < 30; ++i) slow.push_back(ConnectOnly());
  // Ten say nothing, ten say half of something, ten go no further than hello.
  for (int i = 10; i < 20; ++i) ASSERT_TRUE(slow[i]->WriteRaw("\x16\x03\x01\x02"));
  for (int i = 20; i < 30; ++i) {
    ASSERT_TRUE(slow[i]->SendHello());
    ASSERT_NE(slow[i]->ReadRaw(), "");
  }
  ASSERT_TRUE(TestEndpoint::Eventually([&] { return test_.budget().taken() == 30; }));
  const absl::Duration timeout = test_.options().handshake_timeout;
  // Who says nothing is not waited for as long.
  clock_.Advance(timeout / 5);
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(slow[i]->WaitForClose());
  EXPECT_TRUE(TestEndpoint::Eventually([&] { return test_.budget().taken() == 20; }));
  clock_.Advance(0.8 * timeout - absl::Milliseconds(1));
  EXPECT_EQ(established->Call("/echo", "still"), "still");
  EXPECT_EQ(Failures(HandshakeFailure::kTimeout), 10);
  clock_.Advance(absl::Milliseconds(1));
  for (const auto& client : slow) EXPECT_TRUE(client->WaitForClose());
  EXPECT_TRUE(TestEndpoint::Eventually([&] { return test_.budget().taken() == 0 && front_->connections() == 1; }));
  EXPECT_EQ(Failures(HandshakeFailure::kTimeout), 30);
  EXPECT_EQ(established->Call("/echo", "hello"), "hello");
}

// Would break if there were no end to handshakes that strangers begin, or a place were not given back.
TEST_F(TlsFrontTest, RefusesMoreHandshakesThanMayBe) {
  Start();
  std::vector<std::unique_ptr<TlsClient>> slow;
  for (int i = 0; i < 200; ++i) slow.push_back(ConnectOnly());
  auto refused = ConnectOnly();
  EXPECT_TRUE(refused->WaitForClose());
  EXPECT_EQ(Failures(HandshakeFailure::kTooMany), 1);
  // One that goes on makes room.
  ASSERT_TRUE(slow[0]->Handshake());
  ASSERT_TRUE(TestEndpoint::Eventually([&] { return test_.budget().taken() == 199; }));
  EXPECT_EQ(Connect()->Call("/echo", "hello"), "hello");
  slow.pop_back();
  ASSERT_TRUE(TestEndpoint::Eventually([&] { return test_.budget().taken() == 198; }));
}

// Would break if handshakes, each of which takes milliseconds with such a key, were gone through before established
// connections had their turn.
TEST_F(TlsFrontTest, EstablishedConnectionsHaveTheirTurnInAFlood) {
  constexpr int kStrangers = 100;
  Wanted wanted;
  wanted.rsa_bits = 4096;
  // Turns are measured by it.
  ThreadPoolScheduler real(1, "test");
  Start(wanted, &real);
  auto established = Connect();
  ASSERT_EQ(established->Call("/echo", "hello"), "hello");
  std::vector<std::unique_ptr<TlsClient>> strangers;
  for (int i = 0; i < kStrangers; ++i) strangers.push_back(ConnectOnly());
  ASSERT_TRUE(TestEndpoint::Eventually([&] { return test_.budget().taken() == kStrangers; }));
  const auto answered = [&](int wait_ms) {
    std::vector<pollfd> ready;
    for (const auto& stranger : strangers) ready.push_back({stranger->fd(), POLLIN, 0});
    return poll(ready.data(), ready.size(), wait_ms);
  };
  // All of them are there when the loop looks.
  auto holds = Connect();
  const int32_t gate = holds->client().Begin(H2Client::Call("/gate"));
  holds->client().End(gate);
  holds->Send();
  gate_.WaitUntilReached();
  for (const auto& stranger : strangers) ASSERT_TRUE(stranger->SendHello());
  gate_.Open();
  ASSERT_GT(answered(30'000), 0);
  EXPECT_EQ(established->Call("/echo", "quick"), "quick");
  EXPECT_LT(answered(0), kStrangers);
  // And all of them have theirs in the end.
  EXPECT_TRUE(TestEndpoint::Eventually([&] { return answered(0) == kStrangers; }));
  front_->Stop();
}

// Would break if a stop waited for a handshake.
TEST_F(TlsFrontTest, ADrainEndsHandshakes) {
  Start();
  auto silent = ConnectOnly();
  ASSERT_TRUE(TestEndpoint::Eventually([&] { return test_.budget().taken() == 1; }));
  front_->BeginDrain();
  EXPECT_TRUE(front_->WaitForConnections(absl::Now() + absl::Seconds(30)));
  EXPECT_TRUE(silent->WaitForClose());
}

}  // namespace
}  // namespace meshgate::server::wire
