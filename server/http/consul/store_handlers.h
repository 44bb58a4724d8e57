// Consul's API over whatever holds the data, in our own terms: with the embedded store, and where the gateway decides by
// itself what callers may do. Writes go through the service's handlers, as those of every other API.
#ifndef MESHGATE_SERVER_HTTP_CONSUL_STORE_HANDLERS_H_
#define MESHGATE_SERVER_HTTP_CONSUL_STORE_HANDLERS_H_

#include "server/http/consul/call.h"

namespace meshgate::server::consul_api {

// All as Handler of handlers.h.

// ---- /v1/kv/. Locks need sessions, which the store does not have.
void StoreGetKeys(const SharedRequest& request);
void StorePutKey(const SharedRequest& request);
void StoreDeleteKeys(const SharedRequest& request);

// /v1/txn, with the verbs that write keys.
void StoreCommit(const SharedRequest& request);

// ---- What instances there are, each with one check that stands for all of its own.
void StoreHealthService(const SharedRequest& request);
void StoreHealthChecks(const SharedRequest& request);
void StoreCatalogService(const SharedRequest& request);
void StoreCatalogServices(const SharedRequest& request);

// ---- The agent's part.
void StoreRegister(const SharedRequest& request);
void StoreDeregister(const SharedRequest& request);
void StorePassCheck(const SharedRequest& request);
void StoreWarnCheck(const SharedRequest& request);
void StoreFailCheck(const SharedRequest& request);
void StoreUpdateCheck(const SharedRequest& request);

// ---- About the store itself, which is one server that leads. Of the embedded one alone.
void StoreDatacenters(const SharedRequest& request);
void StoreSelf(const SharedRequest& request);
void StoreLeader(const SharedRequest& request);
void StorePeers(const SharedRequest& request);

// 501, with what is served and what would be needed.
void NotServed(const SharedRequest& request);

}  // namespace meshgate::server::consul_api

#endif  // MESHGATE_SERVER_HTTP_CONSUL_STORE_HANDLERS_H_
