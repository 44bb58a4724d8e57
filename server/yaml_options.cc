#include "server/yaml_options.h"

#include <fstream>
#include <optional>
#include <set>
#include <sstream>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "yaml-cpp/yaml.h"

namespace meshgate::server {
namespace {

class Reader {
 public:
  explicit Reader(const std::string& file) : file_(file) {}

  std::vector<YamlSetting> Read() {
    const std::optional<std::string> text = ReadText();
    if (!text.has_value()) {
      found_.push_back({nullptr, "cannot be read", file_});
      return std::move(found_);
    }
    try {
      const YAML::Node root = YAML::Load(*text);
      if (root.IsMap()) {
        ReadMap(root, "");
      } else if (!root.IsNull()) {
        Mistake(root, "", "a file of options is a map, such as grpc: {listen: \"127.0.0.1:50051\"}");
      }
    } catch (const YAML::ParserException& e) {
      found_.push_back({nullptr, e.msg, absl::StrCat(file_, ":", e.mark.line + 1)});
    } catch (const YAML::Exception& e) {
      found_.push_back({nullptr, e.msg, file_});
    }
    return std::move(found_);
  }

 private:
  // Not by yaml-cpp, which lets pass what its stream throws, and leaks, where the file is a folder.
  std::optional<std::string> ReadText() const {
    std::ifstream in(file_);
    // Opens a folder, too, and finds out here.
    in.peek();
    if (!in.is_open() || in.bad()) return std::nullopt;
    std::ostringstream text;
    text << in.rdbuf();
    return text.str();
  }

  void ReadMap(const YAML::Node& map, const std::string& prefix) {
    std::set<std::string> seen;
    for (const auto& item : map) {
      if (!item.first.IsScalar()) {
        Mistake(item.first, prefix, "a key must be a word");
        continue;
      }
      const std::string path = prefix.empty() ? item.first.Scalar() : absl::StrCat(prefix, ".", item.first.Scalar());
      if (!seen.insert(path).second) {
        Mistake(item.first, path, "is there twice");
      } else if (prefix.empty() && IsSection(path)) {
        ReadSection(item.first, item.second, path);
      } else {
        ReadValue(item.first, item.second, path);
      }
    }
  }

  void ReadSection(const YAML::Node& key, const YAML::Node& value, const std::string& path) {
    if (value.IsMap()) {
      ReadMap(value, path);
    } else if (!value.IsNull()) {
      Mistake(key, path, "is a section, not a value");
    }
  }

  void ReadValue(const YAML::Node& key, const YAML::Node& value, const std::string& path) {
    const OptionSpec* spec = nullptr;
    for (const OptionSpec& s : OptionTable()) {
      if (YamlPath(s.name) == path) {
        spec = &s;
      } else if (s.name == path) {
        return Mistake(key, path, absl::StrCat("is written as ", YamlPath(s.name), ", nested"));
      }
    }
    if (spec == nullptr) return Mistake(key, path, "is no option; see --help");
    if (value.IsScalar()) {
      found_.push_back({spec, value.Scalar(), Source(key, path)});
    } else if (value.IsSequence() && spec->list) {
      std::vector<std::string> parts;
      for (const YAML::Node& part : value) parts.push_back(part.IsScalar() ? part.Scalar() : "");
      found_.push_back({spec, absl::StrJoin(parts, ","), Source(key, path)});
    } else {
      Mistake(key, path, "needs one value");
    }
  }

  static bool IsSection(const std::string& word) {
    for (const OptionSpec& spec : OptionTable()) {
      if (absl::StartsWith(YamlPath(spec.name), word + ".")) return true;
    }
    return false;
  }

  std::string Source(const YAML::Node& at, const std::string& path) const {
    return absl::StrCat(file_, ":", at.Mark().line + 1, path.empty() ? "" : ": ", path);
  }
  void Mistake(const YAML::Node& at, const std::string& path, std::string what) {
    found_.push_back({nullptr, std::move(what), Source(at, path)});
  }

  const std::string file_;
  std::vector<YamlSetting> found_;
};

}  // namespace

std::vector<YamlSetting> ReadYamlOptions(const std::string& file) { return Reader(file).Read(); }

}  // namespace meshgate::server
