// The command lines of get, put, del, list and commit.
#include "absl/strings/str_cat.h"
#include "client/ctl/command_spec.h"

namespace meshgate::ctl {
namespace po = boost::program_options;
namespace {

using Positional = std::vector<std::string>;

absl::StatusOr<CommandArgs> BuildGet(const po::variables_map& options, const Positional& positional) {
  GetArgs args;
  args.request.set_key(positional[0]);
  if (absl::Status read = FillReadOptions(options, args.request.mutable_options()); !read.ok()) return read;
  return args;
}

void AddIfModifyIndex(po::options_description* options) {
  options->add_options()("if-modify-index", po::value<std::string>()->value_name("INDEX"),
                         "only if the entry's modify index still is this; 0: only if there is no entry");
}

// Sets the request's if_modify_index where the option was given.
template <typename Request>
absl::Status FillIfModifyIndex(const po::variables_map& options, Request* request) {
  if (!Has(options, "if-modify-index")) return absl::OkStatus();
  uint64_t index = 0;
  if (absl::Status number = FillNumber(options, "if-modify-index", &index); !number.ok()) return number;
  request->set_if_modify_index(index);
  return absl::OkStatus();
}

void AddPut(po::options_description* options) {
  AddIfModifyIndex(options);
  options->add_options()("flags", po::value<std::string>()->value_name("N"),
                         "64 bits of the caller's, kept with the value");
  AddDatacenter(options);
}

absl::StatusOr<CommandArgs> BuildPut(const po::variables_map& options, const Positional& positional) {
  PutArgs args;
  args.request.set_key(positional[0]);
  args.source = positional[1];
  uint64_t flags = 0;
  if (absl::Status number = FillNumber(options, "flags", &flags); !number.ok()) return number;
  args.request.set_flags(flags);
  if (absl::Status condition = FillIfModifyIndex(options, &args.request); !condition.ok()) return condition;
  args.request.set_datacenter(StringOf(options, "datacenter"));
  return args;
}

void AddDel(po::options_description* options) {
  options->add_options()("prefix", po::value<std::string>()->value_name("PREFIX"),
                         "delete every key that begins with it");
  AddIfModifyIndex(options);
  AddDatacenter(options);
}

absl::StatusOr<CommandArgs> BuildDel(const po::variables_map& options, const Positional& positional) {
  DelArgs args;
  if (positional.empty() != Has(options, "prefix")) {
    return absl::InvalidArgumentError("del takes either KEY or --prefix PREFIX");
  }
  if (Has(options, "prefix")) {
    if (Has(options, "if-modify-index")) {
      return absl::InvalidArgumentError("--if-modify-index goes with a KEY, not with --prefix");
    }
    args.request.set_prefix(StringOf(options, "prefix"));
    if (args.request.prefix().empty()) return absl::InvalidArgumentError("--prefix is empty: that would delete all");
  } else {
    args.request.set_key(positional[0]);
    if (absl::Status condition = FillIfModifyIndex(options, &args.request); !condition.ok()) return condition;
  }
  args.request.set_datacenter(StringOf(options, "datacenter"));
  return args;
}

void AddList(po::options_description* options) {
  options->add_options()("keys-only", "keys without values");
  AddReadOptions(options);
}

absl::StatusOr<CommandArgs> BuildList(const po::variables_map& options, const Positional& positional) {
  ListArgs args;
  if (!positional.empty()) args.request.set_prefix(positional[0]);
  args.request.set_keys_only(Has(options, "keys-only"));
  if (absl::Status read = FillReadOptions(options, args.request.mutable_options()); !read.ok()) return read;
  return args;
}

absl::StatusOr<CommandArgs> BuildCommit(const po::variables_map& options, const Positional& positional) {
  CommitArgs args;
  args.request.set_datacenter(StringOf(options, "datacenter"));
  args.source = positional[0];
  return args;
}

}  // namespace

std::vector<CommandSpec> ConfigCommands() {
  return {
      {"get", "KEY", "Print the value of a key.",
       "Text output is the value itself, byte for byte, with nothing added but a newline on a terminal; json is a\n"
       "GetConfigResponse, whose value is base64 and whose modifyIndex goes into put --if-modify-index.\n\n"
       "Examples:\n"
       "  meshgatectl get payments/db/url\n"
       "  meshgatectl get payments/cert --consistency consistent > cert.pem\n",
       1, 1, AddReadOptions, BuildGet},
      {"put", "KEY VALUE|-|@FILE", "Write a key: from the command line, standard input (-) or a file (@FILE).",
       "Prints the key and its new modify index. A value has at most 524,288 bytes. A VALUE that begins with - goes\n"
       "behind --, one that begins with @ through standard input.\n\n"
       "Examples:\n"
       "  meshgatectl put payments/db/url postgres://db1/payments\n"
       "  meshgatectl put payments/cert @cert.pem\n"
       "  date | meshgatectl put payments/built -\n"
       "  meshgatectl put payments/leader me --if-modify-index 0\n",
       2, 2, AddPut, BuildPut},
      {"del", "KEY | --prefix PREFIX", "Delete a key, or all keys under a prefix.",
       "Deleting what does not exist succeeds.\n\n"
       "Examples:\n"
       "  meshgatectl del payments/db/url\n"
       "  meshgatectl del --prefix payments/\n",
       0, 1, AddDel, BuildDel},
      {"list", "[PREFIX]", "List the entries under a prefix, in key order.",
       "Reads all pages. A line of text holds key, modify index and value, separated by tabs, the value with C "
       "escapes;\n"
       "with --keys-only the key alone. A line of json is a ConfigEntry.\n\n"
       "Examples:\n"
       "  meshgatectl list payments/\n"
       "  meshgatectl list payments/ --keys-only\n",
       0, 1, AddList, BuildList},
      {"commit", "FILE|-", "Make up to 64 changes at once: all of them, or none.",
       "Each line is a put or a del as on the command line: quotes and backslashes as in a shell, # before a remark,\n"
       "@FILE for a value from a file. The changes are made in order, each seeing those before it,\n"
       "and reach whoever watches the keys in one response. Input that begins with { is a CommitConfigRequest in "
       "protobuf's JSON, values in\n"
       "base64.\n\n"
       "Prints the key and the new modify index of each put, or a CommitConfigResponse in json. When a condition does\n"
       "not hold nothing is changed (exit status 74), and the message says which line it was. All of it takes at most\n"
       "512 KiB, values counted in base64.\n\n"
       "Examples:\n"
       "  meshgatectl commit changes.txt\n"
       "  meshgatectl commit - <<'END'\n"
       "  put payments/db/url \"postgres://db2/payments\" --if-modify-index 1042\n"
       "  put payments/cert @cert.pem\n"
       "  del --prefix payments/old/\n"
       "  END\n",
       1, 1, AddDatacenter, BuildCommit},
  };
}

}  // namespace meshgate::ctl
