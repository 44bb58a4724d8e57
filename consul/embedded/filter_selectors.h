// The fields that filters can select: their types, and how to read them.
#ifndef MESHGATE_CONSUL_EMBEDDED_FILTER_SELECTORS_H_
#define MESHGATE_CONSUL_EMBEDDED_FILTER_SELECTORS_H_

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "consul/embedded/filter.h"

namespace meshgate::consul::embedded {

// One field. Exactly one reader is set.
struct Selector {
  std::function<const std::string&(const FilterSubject&)> text;
  std::function<int64_t(const FilterSubject&)> number;
  std::function<const std::vector<std::string>&(const FilterSubject&)> list;
  std::function<const std::map<std::string, std::string>&(const FilterSubject&)> map;
  // Null where the map has no such key.
  std::function<const std::string*(const FilterSubject&)> map_value;
  // Of each check.
  std::function<std::vector<std::string>(const FilterSubject&)> texts;
  bool checks = false;
};

// `path` as written, e.g. {"Service", "Meta", "version"}. Nothing where there is no such field.
std::optional<Selector> FindSelector(const std::vector<std::string>& path);

// For messages.
std::string_view SupportedSelectors();

}  // namespace meshgate::consul::embedded

#endif  // MESHGATE_CONSUL_EMBEDDED_FILTER_SELECTORS_H_
