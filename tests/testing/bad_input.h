#ifndef MESHGATE_TESTS_TESTING_BAD_INPUT_H_
#define MESHGATE_TESTS_TESTING_BAD_INPUT_H_

#include <ostream>
#include <string>
#include <vector>

namespace meshgate::testing {

// A request that must be answered with INVALID_ARGUMENT, a message that begins with "<field>: " and a BadRequest that
// names `field`, before anybody asks Consul. The same table is run against the handlers and, over the wire, against a
// server.
struct BadInput {
  // Unique in the table.
  std::string name;
  // "/meshgate.v1.ConfigService/GetConfig"
  std::string method;
  // The request as a client would put it on the wire; not always something that a generated client can send.
  std::string bytes;
  std::string field;
};

inline std::ostream& operator<<(std::ostream& out, const BadInput& input) { return out << input.name; }

// Every RPC that is served, with every kind of bad input that it can be given.
std::vector<BadInput> BadInputs();

}  // namespace meshgate::testing

#endif  // MESHGATE_TESTS_TESTING_BAD_INPUT_H_
