'use strict';
// Runs the script's cases against a server; see script.proto.
//
//   client.js --target=HOST:PORT --script=FILE --descriptors=FILE [--drain]
// with NODE_PATH naming the packages.

const fs = require('fs');
const {parseArgs} = require('util');
const grpc = require('@grpc/grpc-js');
const calls = require('./calls');
const protos = require('./protos');
const standard = require('./standard');

const KEEPALIVE_TIMEOUT_MS = 5000;

const say = (line) => fs.writeSync(1, JSON.stringify(line) + '\n');

// Has calls in progress when the server is told to drain, which happens on the line that says so.
async function runDrain(client, cases) {
  const outcomes = new Map();
  for (const c of cases.filter((c) => c.until_code === 0)) {
    const call = new calls.Call(client, c);
    outcomes.set(c.name, call.run());
    await call.waitStarted();
  }
  say({ready: true});
  for (const c of cases.filter((c) => c.until_code !== 0)) outcomes.set(c.name, calls.run(client, c));
  for (const c of cases) say({case: c.name, outcome: await outcomes.get(c.name)});
}

async function main() {
  const {values: flags} = parseArgs({
    options: {target: {type: 'string'}, script: {type: 'string'}, descriptors: {type: 'string'}, drain: {type: 'boolean'}},
  });
  protos.load(flags.descriptors);
  const script = protos.conformance('Script').deserialize(fs.readFileSync(flags.script));
  const cases = script.cases.filter((c) => c.drain === Boolean(flags.drain) && !c.not_for.includes('node'));
  const newClient = (options) => new grpc.Client(flags.target, grpc.credentials.createInsecure(), options);
  const plain = newClient({});
  // Compression is a channel's and not a call's.
  const gzip = newClient({'grpc.default_compression_algorithm': grpc.compressionAlgorithms.gzip});
  const pinging = (time) => newClient({
    'grpc.keepalive_time_ms': time,
    'grpc.keepalive_timeout_ms': KEEPALIVE_TIMEOUT_MS,
    'grpc.keepalive_permit_without_calls': 1,
  });
  if (flags.drain) {
    await runDrain(plain, cases);
  } else {
    for (const c of cases) {
      const run = standard.runners[c.method] || calls.run;
      const own = c.keepalive_ms > 0 ? pinging(c.keepalive_ms) : null;
      say({case: c.name, outcome: await run(own || (c.compress ? gzip : plain), c)});
      if (own) own.close();
    }
  }
  plain.close();
  gzip.close();
}

main();
