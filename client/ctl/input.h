// What meshgatectl reads from files and from its standard input.
#ifndef MESHGATE_CLIENT_CTL_INPUT_H_
#define MESHGATE_CLIENT_CTL_INPUT_H_

#include <cstddef>
#include <istream>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace meshgate::ctl {

// All of `source`: "-" for `in`, or a file's path. More than `max_bytes` is an error, so that an endless input ends;
// `what` begins its reason, "a value".
absl::StatusOr<std::string> ReadSource(const std::string& source, std::istream* in, size_t max_bytes,
                                       const std::string& what);

// A value: itself, "-" for `in`, or "@FILE".
absl::StatusOr<std::string> ReadValue(const std::string& source, std::istream* in);

// The words of a line, as a shell takes them apart: 'as it is', "with \" and \\", and outside of quotes a backslash
// before any character. From a word that begins with # on it is a remark. INVALID_ARGUMENT: a quote stays open, or a
// backslash ends the line.
absl::StatusOr<std::vector<std::string>> SplitWords(const std::string& line);

}  // namespace meshgate::ctl

#endif  // MESHGATE_CLIENT_CTL_INPUT_H_
