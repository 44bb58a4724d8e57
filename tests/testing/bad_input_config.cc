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

v1::CommitConfigRequest::Operation PutOf(const std::string& key) {
  v1::CommitConfigRequest::Operation operation;
  operation.mutable_put()->set_key(key);
  return operation;
}

void AddCommits(Table& table) {
  using Operation = v1::CommitConfigRequest::Operation;
  // Each of them behind a good one, so that the position counts.
  v1::CommitConfigRequest first;
  *first.add_operations() = PutOf("a");
  const auto add = [&](const std::string& what, const std::string& field, const std::string& operation) {
    table.Add("CommitConfig", what, absl::StrCat("operations[1]", field),
              first.SerializeAsString() + Field<v1::CommitConfigRequest>("operations", operation));
  };
  const auto put = [](const std::string& field, const std::string& bytes, const std::string& rest = "") {
    return Field<Operation>("put", rest + Field<v1::PutConfigRequest>(field, bytes));
  };
  const auto remove = [](const std::string& field, const std::string& bytes, const std::string& rest = "") {
    return Field<Operation>("delete", rest + Field<v1::DeleteConfigRequest>(field, bytes));
  };
  std::vector<Named> keys = BadKeys();
  keys.push_back({"Empty", ""});
  for (const Named& key : keys) {
    add(absl::StrCat("PutKey", key.name), ".put.key", put("key", key.bytes));
    add(absl::StrCat("DeleteKey", key.name), ".delete.key", remove("key", key.bytes));
  }
  std::vector<Named> prefixes = BadPaths();
  prefixes.push_back({"Empty", ""});
  for (const Named& prefix : prefixes) {
    add(absl::StrCat("DeletePrefix", prefix.name), ".delete.prefix", remove("prefix", prefix.bytes));
  }
  std::vector<Named> datacenters = BadDatacenters();
  datacenters.push_back({"OfAnother", "dc2"});
  for (const Named& datacenter : datacenters) {
    add(absl::StrCat("PutDatacenter", datacenter.name), ".put.datacenter",
        put("datacenter", datacenter.bytes, Field<v1::PutConfigRequest>("key", "b")));
    add(absl::StrCat("DeleteDatacenter", datacenter.name), ".delete.datacenter",
        remove("datacenter", datacenter.bytes, Field<v1::DeleteConfigRequest>("key", "b")));
  }
  add("PutValueTooLarge", ".put.value",
      put("value", std::string(524289, 'v'), Field<v1::PutConfigRequest>("key", "b")));
  add("NoOperation", ".operation", "");
  add("DeleteNoTarget", ".delete.target", Field<Operation>("delete", ""));
  Operation index_with_prefix;
  index_with_prefix.mutable_delete_()->set_prefix("b/");
  index_with_prefix.mutable_delete_()->set_if_modify_index(0);
  add("DeleteIndexWithPrefix", ".delete.if_modify_index", index_with_prefix.SerializeAsString());

  table.Add("CommitConfig", "NoOperations", "operations", v1::CommitConfigRequest());
  v1::CommitConfigRequest many;
  for (int i = 0; i < 65; ++i) *many.add_operations() = PutOf(absl::StrCat("a", i));
  table.Add("CommitConfig", "TooManyOperations", "operations", many);
  v1::CommitConfigRequest large = first;
  large.mutable_operations(0)->mutable_put()->set_value(std::string(200000, 'v'));
  *large.add_operations() = large.operations(0);
  table.Add("CommitConfig", "TooLarge", "operations", large);
  table.AddStrings("CommitConfig", "datacenter", BadDatacenters(), first);
  table.AddMalformed("CommitConfig");
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
  AddCommits(table);
  AddConfigWatches(table);
}

}  // namespace meshgate::testing::bad_input
