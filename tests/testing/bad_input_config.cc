#include <limits>

#include "meshgate/v1/config_service.pb.h"
#include "server/service/page_token.h"
#include "tests/testing/bad_input_table.h"

namespace meshgate::testing::bad_input {
namespace {

void AddReads(Table& table) {
  table.AddStrings<v1::GetConfigRequest>("GetConfig", "key", BadKeys());
  table.Add("GetConfig", "keyEmpty", "key", v1::GetConfigRequest());
  v1::GetConfigRequest get;
  get.set_key("a");
  table.AddReadOptions("GetConfig", get);
  table.AddMalformed("GetConfig");

  table.AddStrings<v1::ListConfigRequest>("ListConfig", "prefix", BadPaths());
  table.AddReadOptions<v1::ListConfigRequest>("ListConfig");
  for (int32_t size : {-1, std::numeric_limits<int32_t>::min()}) {
    v1::ListConfigRequest list;
    list.set_page_size(size);
    table.Add("ListConfig", absl::StrCat("PageSize", size), "page_size", list);
  }
  const std::string good = server::EncodePageToken({"a/1", 7}, "a/", "");
  std::string changed = good;
  changed[changed.size() / 2] = changed[changed.size() / 2] == 'A' ? 'B' : 'A';
  v1::ListConfigRequest list;
  list.set_prefix("a/");
  table.AddStrings("ListConfig", "page_token",
                   {{"Junk", "junk"},
                    {"NotBase64", "!!!"},
                    {"OfAnotherPrefix", server::EncodePageToken({"a/1", 7}, "a", "")},
                    {"OfAnotherDatacenter", server::EncodePageToken({"a/1", 7}, "a/", "dc2")},
                    {"Changed", changed},
                    {"CutOff", good.substr(0, good.size() - 4)},
                    {"NotUtf8", "\xff"}},
                   list);
  table.AddMalformed("ListConfig");
}

void AddWrites(Table& table) {
  table.AddStrings<v1::PutConfigRequest>("PutConfig", "key", BadKeys());
  table.Add("PutConfig", "keyEmpty", "key", v1::PutConfigRequest());
  v1::PutConfigRequest put;
  put.set_key("a");
  table.AddStrings("PutConfig", "datacenter", BadDatacenters(), put);
  table.AddStrings("PutConfig", "value", {{"TooLarge", std::string(524289, 'v')}}, put);
  table.AddMalformed("PutConfig");

  table.AddStrings<v1::DeleteConfigRequest>("DeleteConfig", "key", BadKeys());
  table.AddStrings<v1::DeleteConfigRequest>("DeleteConfig", "key", {{"Empty", ""}});
  table.AddStrings<v1::DeleteConfigRequest>("DeleteConfig", "prefix", BadPaths());
  table.AddStrings<v1::DeleteConfigRequest>("DeleteConfig", "prefix", {{"Empty", ""}});
  table.Add("DeleteConfig", "NoTarget", "target", v1::DeleteConfigRequest());
  v1::DeleteConfigRequest prefix_with_index;
  prefix_with_index.set_prefix("a/");
  prefix_with_index.set_if_modify_index(0);
  table.Add("DeleteConfig", "IndexWithPrefix", "if_modify_index", prefix_with_index);
  v1::DeleteConfigRequest remove;
  remove.set_key("a");
  table.AddStrings("DeleteConfig", "datacenter", BadDatacenters(), remove);
  table.AddMalformed("DeleteConfig");
}

void AddConfigWatches(Table& table) {
  table.AddStrings<v1::WatchConfigRequest>("WatchConfig", "key", BadKeys());
  table.AddStrings<v1::WatchConfigRequest>("WatchConfig", "key", {{"Empty", ""}});
  table.AddStrings<v1::WatchConfigRequest>("WatchConfig", "prefix", BadPaths());
  table.Add("WatchConfig", "NoTarget", "target", v1::WatchConfigRequest());
  v1::WatchConfigRequest watch;
  watch.set_key("a");
  table.AddStreamFields("WatchConfig", watch);
  table.AddMalformed("WatchConfig");
}

}  // namespace

void AddConfigService(Table& table) {
  AddReads(table);
  AddWrites(table);
  AddConfigWatches(table);
}

}  // namespace meshgate::testing::bad_input
