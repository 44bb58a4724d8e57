'use strict';
// The script of npm's `consul`; prints what came of each step, as one line of JSON.
//
//   client.js HOST:PORT
// with NODE_PATH naming the packages.

const Consul = require('consul');

const PATIENCE_MS = 20000;

const [host, port] = process.argv[2].split(':');
const consul = new Consul({host, port: Number(port)});

const say = (step, outcome, surprise = null) => process.stdout.write(JSON.stringify({step, outcome, surprise}) + '\n');

// What the library gives back, or throws.
async function attempt(call) {
  try {
    const value = await call();
    if (Buffer.isBuffer(value)) return {buffer: value.toString('base64')};
    return {value: value === undefined ? 'undefined' : value};
  } catch (error) {
    return {error: error.message, status: error.statusCode, body: error.response && error.response.body};
  }
}

// One step, that works.
async function step(name, call) {
  const outcome = await attempt(call);
  say(name, outcome, outcome.error ? `refused: ${outcome.error}` : null);
}

// One that does not.
async function refused(name, call) {
  const outcome = await attempt(call);
  say(name, outcome, outcome.error ? null : 'not refused');
}

// Repeats a call until what it gives back is right: the catalog hears of services by and by.
async function settle(call, isRight) {
  for (const end = Date.now() + PATIENCE_MS; Date.now() < end;) {
    if (isRight(await call())) return;
  }
  throw new Error(`it does not come to be: ${call}`);
}

// Has a watch tell of the state and of what each change makes of it. An index may move with the state as it was.
async function watch(name, options, changes, view) {
  const watcher = consul.watch({...options, backoffFactor: 10});
  const told = [];
  let look = () => {};
  const tell = (seen) => {
    if (JSON.stringify(seen) !== JSON.stringify(told[told.length - 1])) told.push(seen);
    look();
  };
  const toldOf = (count) => new Promise((resolve) => {
    const timer = setTimeout(() => tell(`there were no ${count} in time`), PATIENCE_MS);
    look = () => {
      if (told.length < count) return;
      clearTimeout(timer);
      resolve();
    };
    look();
  });
  watcher.on('change', (data) => tell(view(data)));
  watcher.on('error', (error) => tell(`error: ${error.message}`));
  await toldOf(1);
  for (const change of changes) {
    const count = told.length + 1;
    await change();
    await toldOf(count);
  }
  say(`watch: ${name}`, {told, running: watcher.isRunning()});
  watcher.end();
}

async function keys() {
  const {kv} = consul;
  await step('kv.set', () => kv.set('npm/a', 'hello'));
  await step('kv.get', () => kv.get('npm/a'));
  await step('kv.get raw', () => kv.get({key: 'npm/a', raw: true}));
  await step('kv.get of a key that is missing', () => kv.get('npm/missing'));
  await step('kv.get raw of a key that is missing', () => kv.get({key: 'npm/missing', raw: true}));
  await step('kv.get as a buffer', () => kv.get({key: 'npm/a', buffer: true}).then((item) => item.Value));
  await step('kv.get stale', () => kv.get({key: 'npm/a', stale: true}));
  await step('kv.get consistent', () => kv.get({key: 'npm/a', consistent: true}));
  await refused('kv.get of a datacenter that is missing', () => kv.get({key: 'npm/a', dc: 'nowhere'}));
  await step('kv.set with flags', () => kv.set({key: 'npm/flags', value: 'x', flags: 42}));
  await step('kv.get with flags', () => kv.get('npm/flags'));
  await step('kv.set of bytes', () => kv.set('npm/bytes', Buffer.from([0, 1, 255])));
  await step('kv.get raw of bytes', () => kv.get({key: 'npm/bytes', raw: true}));
  await step('kv.set of an odd key', () => kv.set('npm/ä b?#%&+', 'odd'));
  await step('kv.get of an odd key', () => kv.get('npm/ä b?#%&+'));
  await step('kv.set to create', () => kv.set({key: 'npm/cas', value: 'one', cas: '0'}));
  await step('kv.set to create what is there', () => kv.set({key: 'npm/cas', value: 'two', cas: '0'}));
  const index = (await kv.get('npm/cas')).ModifyIndex;
  await step('kv.set with an index', () => kv.set({key: 'npm/cas', value: 'three', cas: String(index)}));
  await step('kv.set with an old index', () => kv.set({key: 'npm/cas', value: 'four', cas: String(index)}));
  await step('kv.get after that', () => kv.get('npm/cas'));
  await step('kv.del with an old index', () => kv.del({key: 'npm/cas', cas: String(index)}));
  await step('kv.get recurse', () => kv.get({key: 'npm/', recurse: true}));
  await step('kv.get recurse of nothing', () => kv.get({key: 'nothing/', recurse: true}));
  await step('kv.keys', () => kv.keys('npm/'));
  await step('kv.keys with a separator', () => kv.keys({key: 'npm', separator: '/'}));
  await refused('kv.keys of nothing', () => kv.keys('nothing/'));
  await step('kv.del', () => kv.del('npm/a'));
  await step('kv.del of a key that is missing', () => kv.del('npm/a'));
  await step('kv.del recurse', () => kv.del({key: 'npm/', recurse: true}));
  await refused('kv.keys after that', () => kv.keys('npm/'));
}

async function sessions() {
  const {kv, session} = consul;
  const created = await session.create({name: 'npm', ttl: '10m', lockdelay: '0s', behavior: 'delete'});
  say('session.create', created);
  await step('session.info', () => session.info(created.ID));
  await step('session.list', () => session.list());
  await step('session.node', () => session.node('dropin'));
  await step('session.renew', () => session.renew(created.ID));
  await step('kv.set acquire', () => kv.set({key: 'npm/lock', value: 'mine', acquire: created.ID}));
  await step('kv.get of a lock', () => kv.get('npm/lock'));
  const other = await session.create({name: 'other'});
  await step('kv.set acquire by another', () => kv.set({key: 'npm/lock', value: 'theirs', acquire: other.ID}));
  await step('kv.set release by another', () => kv.set({key: 'npm/lock', value: 'theirs', release: other.ID}));
  await step('kv.set release', () => kv.set({key: 'npm/lock', value: 'free', release: created.ID}));
  await step('kv.set acquire once more', () => kv.set({key: 'npm/lock', value: 'again', acquire: created.ID}));
  await step('session.destroy', () => session.destroy(created.ID));
  await step('kv.get of what the session held', () => kv.get('npm/lock'));
  await step('session.info of one that is gone', () => session.info(created.ID));
  await refused('session.renew of one that is gone', () => session.renew(created.ID));
  await refused('session.create of nonsense', () => session.create({ttl: '1s'}));
  await session.destroy(other.ID);
}

async function services() {
  const {agent, catalog, health} = consul;
  const isListed = (list) => list.some((entry) => entry.Checks.some((check) => check.CheckID === 'service:web-1'));
  await step('agent.service.register', () => agent.service.register({
    name: 'web', id: 'web-1', address: '127.0.0.1', port: 8001, tags: ['a', 'b'], meta: {v: '1'},
    check: {ttl: '1h', notes: 'noted'},
  }));
  await step('agent.service.register with checks', () => agent.service.register({
    name: 'web', id: 'web-2', port: 8002, checks: [
      {http: 'http://127.0.0.1:1/', interval: '10000h'}, {ttl: '1h', status: 'passing'}],
  }));
  await settle(() => health.service('web'), (list) => list.length === 2 && isListed(list));
  await step('agent.service.list', () => agent.service.list());
  await step('agent.services', () => agent.services());
  await step('agent.checks', () => agent.checks());
  await step('agent.members', () => agent.members());
  await step('health.service', () => health.service('web'));
  await step('health.service that is missing', () => health.service('missing'));
  await step('health.service passing', () => health.service({service: 'web', passing: true}));
  await step('health.service by tag', () => health.service({service: 'web', tag: 'a'}));
  await step('health.checks', () => health.checks('web'));
  await step('health.node', () => health.node('dropin'));
  await step('health.state', () => health.state('critical'));
  await step('catalog.services', () => catalog.service.list());
  await step('catalog.service.nodes', () => catalog.service.nodes('web'));
  await step('catalog.service.nodes by tag', () => catalog.service.nodes({service: 'web', tag: 'b'}));
  await step('catalog.node.list', () => catalog.node.list());
  await step('catalog.node.services', () => catalog.node.services('dropin'));
  await step('catalog.datacenters', () => catalog.datacenters());
  await step('agent.check.pass', () => agent.check.pass({id: 'service:web-1', note: 'fine'}));
  await step('health.service after pass', () => health.service('web'));
  await step('agent.check.warn', () => agent.check.warn({id: 'service:web-1', note: 'so so'}));
  await step('health.checks after warn', () => health.checks('web'));
  await step('agent.check.fail', () => agent.check.fail('service:web-1'));
  await step('health.checks after fail', () => health.checks('web'));
  await refused('agent.check.pass of one that is missing', () => agent.check.pass('missing'));
  await step('agent.check.register', () => agent.check.register({name: 'lone', ttl: '1h', serviceid: 'web-2'}));
  await step('agent.check.list', () => agent.check.list());
  await step('agent.check.deregister', () => agent.check.deregister('lone'));
  await step('agent.check.deregister of one that is missing', () => agent.check.deregister('missing'));
  const inMaintenance = (list) => list.some((entry) => entry.Checks.some((check) => /maintenance/.test(check.CheckID)));
  await step('agent.service.maintenance', () => agent.service.maintenance({id: 'web-2', enable: true, reason: 'an upgrade'}));
  await settle(() => health.service('web'), inMaintenance);
  await step('health.service in maintenance', () => health.service('web'));
  await step('agent.service.maintenance over', () => agent.service.maintenance({id: 'web-2', enable: false}));
  await step('agent.maintenance', () => agent.maintenance({enable: true, reason: 'the node'}));
  await step('agent.maintenance over', () => agent.maintenance(false));
  await settle(() => health.service('web'), (list) => !inMaintenance(list));
  await step('agent.service.deregister', () => agent.service.deregister('web-2'));
  await step('agent.service.deregister of one that is missing', () => agent.service.deregister('missing'));
  await settle(() => health.service('web'), (list) => list.length === 1);
  await step('health.service after deregister', () => health.service('web'));
}

async function watches() {
  const {agent, catalog, health, kv} = consul;
  const item = (data) => data ? [data.Key, data.Value, data.Flags] : 'none';
  await kv.set('npm/watched', 'one');
  await watch('kv.get', {method: kv.get, options: {key: 'npm/watched'}}, [
    () => kv.set('npm/watched', 'two'),
    () => kv.del('npm/watched'),
    () => kv.set({key: 'npm/watched', value: 'three', flags: 3}),
  ], item);
  await watch('kv.get of a key that is missing', {method: kv.get, options: {key: 'npm/later'}}, [
    () => kv.set('npm/later', 'here'),
  ], item);
  await watch('kv.get recurse', {method: kv.get, options: {key: 'npm/', recurse: true}}, [
    () => kv.set('npm/more', 'x'),
    () => kv.del('npm/later'),
  ], (data) => (data || []).map(item));
  await watch('kv.keys', {method: kv.keys, options: {key: 'npm/'}}, [
    () => kv.set('npm/most', 'x'),
  ], (data) => data || []);
  const statuses = (list) => list.map((entry) => entry.Checks.map((check) => [check.CheckID, check.Status, check.Output]));
  await watch('health.service', {method: health.service, options: {service: 'web'}}, [
    () => agent.check.pass({id: 'service:web-1', note: 'fine'}),
    () => agent.check.fail({id: 'service:web-1', note: 'bad'}),
  ], statuses);
  await watch('health.service passing', {method: health.service, options: {service: 'web', passing: true}}, [
    () => agent.check.pass('service:web-1'),
    () => agent.check.fail('service:web-1'),
  ], (list) => list.map((entry) => entry.Service.ID));
  await watch('health.service that is missing', {method: health.service, options: {service: 'new'}}, [
    () => agent.service.register({name: 'new', id: 'new-1'}),
    () => agent.service.deregister('new-1'),
  ], (list) => list.map((entry) => entry.Service.ID));
  await watch('catalog.services', {method: catalog.service.list}, [
    () => agent.service.register({name: 'newer', id: 'newer-1'}),
    () => agent.service.deregister('newer-1'),
  ], (data) => Object.keys(data).sort());
  await watch('health.state', {method: health.state, options: {state: 'critical'}}, [
    () => agent.check.pass('service:web-1'),
  ], (list) => list.map((check) => check.CheckID));
  await watch('what does not block', {method: agent.service.list}, [], (data) => data);
}

async function transactions() {
  const {transaction} = consul;
  const value = Buffer.from('x').toString('base64');
  await step('transaction.create', () => transaction.create([
    {KV: {Verb: 'set', Key: 'txn/a', Value: value}}, {KV: {Verb: 'get', Key: 'txn/a'}}]));
  await refused('transaction.create that is rolled back', () => transaction.create([
    {KV: {Verb: 'set', Key: 'txn/b', Value: value}}, {KV: {Verb: 'check-not-exists', Key: 'txn/a'}}]));
  await step('kv.get of what was rolled back', () => consul.kv.get('txn/b'));
  await refused('transaction.create of nonsense', () => transaction.create([{KV: {Verb: 'nonsense', Key: 'txn/a'}}]));
}

async function main() {
  await keys();
  await sessions();
  await services();
  await watches();
  await transactions();
  await step('status.leader', () => consul.status.leader());
  await step('status.peers', () => consul.status.peers());
  await step('event.fire', () => consul.event.fire('deploy', 'payload'));
  await settle(() => consul.event.list('deploy'), (list) => list.length === 1);
  await step('event.list', () => consul.event.list('deploy'));
  await step('query.list', () => consul.query.list());
  await step('agent.self', () => consul.agent.self().then((self) => Object.keys(self)));
  consul.destroy();
}

main();
