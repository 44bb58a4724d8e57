'use strict';
// Makes the calls of one case and says what came of them.

const {isDeepStrictEqual} = require('util');
const metadata = require('./metadata');
const protos = require('./protos');

const SERVICE = '/meshgate.conformance.v1.Conformance/';
// Of calls that are no case themselves, and of cases that hang against all expectation.
const PATIENCE_MS = 30000;
const PATTERN = Buffer.from(Array.from({length: 251}, (_, i) => i));
let ids = 0;

function payload(seed, size) {
  const start = seed % 251;
  return Buffer.alloc(start + size, PATTERN).subarray(start);
}

// As other clients send it: their size is what the server tells of a request that is too large.
function withoutDefaults(message) {
  const isSet = (value) => value && value.length !== 0 && value !== 'HANG_UNSPECIFIED';
  return Object.fromEntries(Object.entries(message).filter(([, value]) => isSet(value)));
}

const inTime = () => ({deadline: Date.now() + PATIENCE_MS});

// Resolves with {status, initial} when the call is over and all of its responses have been taken.
function ended(call, isStream) {
  return new Promise((resolve) => {
    let status, initial, rest = isStream ? 2 : 1;
    const part = () => --rest === 0 && setImmediate(() => resolve({status, initial}));
    call.on('error', () => {});
    call.on('metadata', (received) => { initial = received; });
    call.on('status', (received) => { status = received; part(); });
    if (isStream) call.on('end', part);
  });
}

function tellEnd(c, {status, initial}, outcome) {
  outcome.code = status.code;
  if (c.tell_message) outcome.message = status.details;
  outcome.initial_metadata = metadata.ours(initial);
  outcome.trailing_metadata = metadata.ours(status.metadata);
  outcome.other_metadata = [...metadata.others(initial), ...metadata.others(status.metadata)];
  const [details] = status.metadata.get('grpc-status-details-bin');
  if (details) outcome.details = toDetails(details);
}

function toDetails(serialized) {
  const status = protos.message('google.rpc.Status').deserialize(serialized);
  const details = {code: status.code, message: status.message};
  // A map is a list of its entries where messages come from descriptors.
  for (const {type_url: url, value} of status.details) {
    if (url.endsWith('/google.rpc.ErrorInfo')) {
      const info = protos.message('google.rpc.ErrorInfo').deserialize(value);
      details.info = {...info, metadata: Object.fromEntries(info.metadata.map((entry) => [entry.key, entry.value]))};
    }
  }
  return details;
}

// One call of a case of the Conformance service.
class Call {
  constructor(client, c) {
    this.client = client;
    this.c = c;
    this.plan = {...protos.conformance('Plan').deserialize(Buffer.alloc(0)), ...c.plan};
    if (c.cancel_when_started || c.ask_cancelled || c.drain) {
      this.plan.id = `node-${process.pid}-${Date.now()}-${++ids}`;
    }
    this.outcome = {messages: 0, bytes: 0};
  }

  async run() {
    const {c, outcome} = this;
    const call = this.start();
    const end = ended(call, this.writesStream());
    if (c.cancel_when_started) {
      await this.waitStarted();
      call.cancel();
    }
    tellEnd(c, await end, outcome);
    if (c.ask_cancelled) outcome.server_saw_cancel = await this.seen('SeenCancelled');
    return outcome;
  }

  waitStarted() {
    return this.seen('SeenStarted');
  }

  writesStream() {
    return ['ServerStream', 'Bidi'].includes(this.c.method);
  }

  start() {
    const {c, client} = this;
    const path = c.method.startsWith('/') ? c.method : SERVICE + c.method;
    const types = [protos.conformance('CallRequest').serialize, protos.conformance('CallResponse').deserialize];
    const options = {};
    if (c.timeout_ms !== 0) {
      options.deadline = Date.now() + c.timeout_ms;
    } else if (!this.plan.report) {
      options.deadline = Date.now() + PATIENCE_MS;
    }
    const extra = [metadata.toGrpc(c.metadata), options];
    const lone = (error, response) => { if (!error) this.onResponse(response); };
    let call;
    switch (c.method) {
      case 'ServerStream':
        call = client.makeServerStreamRequest(path, ...types, this.request(0), ...extra);
        call.on('data', (response) => this.onResponse(response, call));
        break;
      case 'ClientStream':
        call = client.makeClientStreamRequest(path, ...types, ...extra, lone);
        this.writeAll(call);
        break;
      case 'Bidi':
        call = client.makeBidiStreamRequest(path, ...types, ...extra);
        call.on('data', (response) => {
          this.onResponse(response, call);
          if (c.ping_pong) this.writeNext(call, this.outcome.messages);
        });
        if (c.ping_pong) {
          this.writeNext(call, 0);
        } else {
          this.writeAll(call);
        }
        break;
      default:
        call = client.makeUnaryRequest(path, ...types, this.request(0), ...extra, lone);
    }
    return call;
  }

  request(index) {
    const request = {payload: payload(this.plan.seed, this.c.request_bytes)};
    if (index === 0) request.plan = withoutDefaults(this.plan);
    return request;
  }

  writeNext(call, index) {
    if (index < this.c.requests) {
      call.write(this.request(index));
    } else {
      this.halfClose(call);
    }
  }

  writeAll(call) {
    for (let i = 0; i < this.c.requests; ++i) call.write(this.request(i));
    this.halfClose(call);
  }

  halfClose(call) {
    if (this.c.keep_open) {
      call.on('status', () => call.end());
    } else {
      call.end();
    }
  }

  onResponse(response, call) {
    const {outcome, c, plan} = this;
    const intact = response.index === outcome.messages &&
      response.payload.equals(payload(plan.seed, plan.payload_bytes));
    outcome.intact = intact && outcome.intact !== false;
    outcome.messages += 1;
    outcome.bytes += response.payload.length;
    outcome.requests = response.requests;
    outcome.request_bytes = response.request_bytes;
    outcome.requests_intact = response.requests_intact;
    if (response.report) this.tellReport(response.report);
    if (outcome.messages === c.cancel_after_messages) call.cancel();
  }

  tellReport(report) {
    const set = this.c.timeout_ms, left = report.deadline_left_ms;
    Object.assign(this.outcome, {
      server_metadata: metadata.reported(report.metadata),
      has_peer: report.has_peer,
      has_deadline: report.has_deadline,
      // grpc-timeout has eight digits: seconds of days are rounded up to minutes or hours.
      deadline_plausible: report.has_deadline && set > 0 && left >= set - 30000 && left <= set * 1.01,
    });
  }

  seen(method) {
    return new Promise((resolve) => {
      this.client.makeUnaryRequest(
        SERVICE + method, protos.conformance('SeenRequest').serialize, protos.conformance('SeenResponse').deserialize,
        {id: this.plan.id}, inTime(), (error, response) => resolve(!error && response.seen));
    });
  }
}

async function runOnce(client, c) {
  const end = Date.now() + PATIENCE_MS;
  for (;;) {
    const outcome = await new Call(client, c).run();
    if (c.until_code === 0 || outcome.code === c.until_code || Date.now() > end) return outcome;
  }
}

// All calls of a case: the outcome they have in common, or the first that is different from the first.
async function run(client, c) {
  if (c.calls < 2) return runOnce(client, c);
  const outcomes = await Promise.all(Array.from({length: c.calls}, () => runOnce(client, c)));
  const told = outcomes.find((outcome) => !isDeepStrictEqual(outcome, outcomes[0])) || outcomes[0];
  return {...told, calls: outcomes.filter((outcome) => isDeepStrictEqual(outcome, told)).length};
}

module.exports = {Call, ended, inTime, run, tellEnd};
