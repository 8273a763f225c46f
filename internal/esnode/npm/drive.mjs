// Drives a server through one of the npm clients and fails at the first thing that is not as it should be.
//
//   node drive.mjs PACKAGE CONNECTION_STRING
//
// The two packages speak the same protocol under slightly different names; `say` holds the differences.

import assert from "node:assert/strict";
import { randomBytes, randomUUID } from "node:crypto";

const [, , name, address] = process.argv;
const client = await import(name);
const kurrent = "KurrentDBClient" in client;
const db = (kurrent ? client.KurrentDBClient : client.EventStoreDBClient).connectionString(address);
const { jsonEvent, binaryEvent, START, END, FORWARDS, BACKWARDS, NO_STREAM, STREAM_EXISTS, ANY } = client;

const say = {
  expecting: (revision) => (kurrent ? { streamState: revision } : { expectedRevision: revision }),
  expected: (error) => (kurrent ? error.expectedState : error.expectedVersion),
  actual: (error) => (kurrent ? error.actualState : error.actualVersion),
};

const fresh = (kind) => `npm-${kind}-${randomUUID()}`;
const json = (data, type = "happened") => jsonEvent({ type, data, metadata: { by: "npm" } });
const many = (n, type) => Array.from({ length: n }, (_, i) => json({ i }, type));
const append = (stream, events, revision = ANY, options = {}) =>
  db.appendToStream(stream, events, { ...say.expecting(revision), ...options });

async function collect(reading) {
  const list = [];
  for await (const e of reading) list.push(e);
  return list;
}
const revisions = (list) => list.map((e) => Number((e.link ?? e.event).revision));
const span = (from, to) => Array.from({ length: Math.abs(to - from) + 1 }, (_, i) => (from < to ? from + i : from - i));

function within(seconds, what, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: nothing in ${seconds} s`)), seconds * 1000);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

// A queue of what a subscription delivers, so that a test can wait for the next event.
function listen(subscription) {
  const arrived = [];
  let wake = () => {};
  let failure;
  let caughtUp = 0;
  subscription.on("data", (e) => (arrived.push(e), wake()));
  subscription.on("caughtUp", () => (caughtUp++, wake()));
  subscription.on("error", (e) => ((failure = e), wake()));
  const until = async (what, ready) => {
    while (!ready()) {
      if (failure) throw failure;
      await within(20, what, new Promise((resolve) => (wake = resolve)));
    }
  };
  return {
    next: async () => (await until("the next event", () => arrived.length > 0), arrived.shift()),
    take: async (n) => (await until(`${n} events`, () => arrived.length >= n), arrived.splice(0, n)),
    // The next n of those whose stream begins so; others write to the server as well.
    takeOf: async (prefix, n, check = () => {}) => {
      const list = [];
      while (list.length < n) {
        await until("the next event", () => arrived.length > 0);
        const e = arrived.shift();
        check(e.event);
        if (e.event.streamId.startsWith(prefix)) list.push(e);
      }
      return list;
    },
    caughtUp: () => until("being caught up", () => caughtUp > 0),
    failure: async () => (await until("the end of the subscription", () => failure).catch(() => {}), failure),
    until,
  };
}

const tests = {
  async "append and read back"() {
    const stream = fresh("round");
    const bytes = randomBytes(1000);
    const sent = [
      json({ text: "ünïcode – 🙂", nested: { list: [1, null, true] } }, "json"),
      binaryEvent({ type: "binary", data: bytes, metadata: Uint8Array.of(0, 1, 255) }),
      binaryEvent({ type: "empty", data: new Uint8Array() }),
    ];
    const result = await append(stream, sent, NO_STREAM);
    assert.equal(result.success, true);
    assert.equal(result.nextExpectedRevision, 2n);
    const list = await collect(db.readStream(stream));
    assert.deepEqual(revisions(list), [0, 1, 2]);
    assert.deepEqual(list.map((e) => e.event.id), sent.map((e) => e.id));
    assert.deepEqual(list.map((e) => e.event.type), ["json", "binary", "empty"]);
    assert.deepEqual(list.map((e) => e.event.isJson), [true, false, false]);
    assert.deepEqual(list[0].event.data, sent[0].data);
    assert.deepEqual(list[0].event.metadata, { by: "npm" });
    assert.deepEqual(Buffer.from(list[1].event.data), bytes);
    assert.deepEqual([...list[1].event.metadata], [0, 1, 255]);
    assert.equal(list[2].event.data.length, 0);
    for (const { event } of list) {
      assert.equal(event.streamId, stream);
      assert.ok(Math.abs(Date.now() - event.created.getTime()) < 3_600_000, `created ${event.created}`);
      assert.equal(event.position.commit, event.position.prepare);
    }
    assert.deepEqual(list[2].event.position, result.position);
  },

  async "append in one call each, as with credentials"() {
    const stream = fresh("single");
    const credentials = { username: "admin", password: "changeit" };
    const first = await append(stream, many(3), NO_STREAM, { credentials });
    assert.equal(first.nextExpectedRevision, 2n);
    await assert.rejects(append(stream, many(1), 7n, { credentials }), (error) => {
      assert.ok(error instanceof client.WrongExpectedVersionError, error);
      assert.equal(say.expected(error), 7n);
      assert.equal(say.actual(error), 2n);
      return true;
    });
    await db.tombstoneStream(stream);
    await assert.rejects(append(stream, many(1), ANY, { credentials }), (error) => {
      assert.ok(error instanceof client.StreamDeletedError, error);
      assert.equal(error.streamName, stream);
      return true;
    });
    await assert.rejects(
      append(fresh("big"), binaryEvent({ type: "big", data: new Uint8Array(2 << 20) }), ANY, { credentials }),
      (error) => {
        assert.ok(error instanceof client.MaxAppendSizeExceededError, error);
        assert.equal(error.maxAppendSize, 1 << 20);
        return true;
      },
    );
  },

  async "wrong expected version"() {
    const stream = fresh("wrong");
    await append(stream, many(3), NO_STREAM);
    for (const [revision, target, actual] of [
      [NO_STREAM, stream, 2n],
      [1n, stream, 2n],
      [7n, stream, 2n],
      [STREAM_EXISTS, fresh("missing"), NO_STREAM],
      [0n, fresh("missing"), NO_STREAM],
    ]) {
      await assert.rejects(append(target, many(1), revision), (error) => {
        assert.ok(error instanceof client.WrongExpectedVersionError, error);
        assert.equal(say.expected(error), revision);
        assert.equal(say.actual(error), actual);
        assert.equal(error.streamName, target);
        return true;
      });
    }
    assert.equal((await append(stream, many(1), 2n)).nextExpectedRevision, 3n);
    assert.equal((await append(stream, many(1), STREAM_EXISTS)).nextExpectedRevision, 4n);
  },

  async "append again"() {
    const stream = fresh("again");
    const events = many(3);
    const first = await append(stream, events, NO_STREAM);
    for (const revision of [NO_STREAM, ANY]) {
      const again = await append(stream, events, revision);
      assert.equal(again.nextExpectedRevision, 2n);
      assert.deepEqual(again.position, first.position);
    }
    assert.deepEqual(revisions(await collect(db.readStream(stream))), [0, 1, 2]);
  },

  async "too big"() {
    await assert.rejects(append(fresh("big"), binaryEvent({ type: "big", data: new Uint8Array(2 << 20) })), (error) => {
      assert.ok(error instanceof client.MaxAppendSizeExceededError, error);
      assert.equal(error.maxAppendSize, 1 << 20);
      return true;
    });
  },

  async "many events"() {
    const stream = fresh("many");
    assert.equal((await append(stream, many(5000), NO_STREAM)).nextExpectedRevision, 4999n);
    assert.deepEqual(revisions(await collect(db.readStream(stream))), span(0, 4999));
    const back = await collect(db.readStream(stream, { direction: BACKWARDS, fromRevision: END }));
    assert.deepEqual(revisions(back), span(4999, 0));
  },

  async "many appends in flight"() {
    const stream = fresh("flight");
    const results = await Promise.all(Array.from({ length: 200 }, () => append(stream, many(2))));
    const ends = results.map((r) => Number(r.nextExpectedRevision)).sort((a, b) => a - b);
    assert.deepEqual(ends, Array.from({ length: 200 }, (_, i) => 2 * i + 1));
    assert.equal((await collect(db.readStream(stream))).length, 400);
  },

  async "read a stream in both directions"() {
    const stream = fresh("read");
    await append(stream, many(10), NO_STREAM);
    const read = async (options) => revisions(await collect(db.readStream(stream, options)));
    assert.deepEqual(await read({ direction: FORWARDS, fromRevision: START }), span(0, 9));
    assert.deepEqual(await read({ maxCount: 3 }), [0, 1, 2]);
    assert.deepEqual(await read({ fromRevision: 7n }), [7, 8, 9]);
    assert.deepEqual(await read({ fromRevision: 10n }), []);
    assert.deepEqual(await read({ direction: BACKWARDS, fromRevision: END, maxCount: 2 }), [9, 8]);
    assert.deepEqual(await read({ direction: BACKWARDS, fromRevision: 3n }), [3, 2, 1, 0]);
    // The other client asks forwards from there, whatever it is told.
    if (!kurrent) assert.deepEqual(await read({ direction: BACKWARDS, fromRevision: START }), [0]);
  },

  async "a missing stream"() {
    for (const direction of [FORWARDS, BACKWARDS]) {
      const fromRevision = direction === FORWARDS ? START : END;
      await assert.rejects(collect(db.readStream(fresh("missing"), { direction, fromRevision })), (error) => {
        assert.ok(error instanceof client.StreamNotFoundError, error);
        return true;
      });
    }
  },

  async "read $all in both directions"() {
    const stream = fresh("all");
    const { position: mark } = await append(fresh("mark"), many(1));
    const { position: last } = await append(stream, many(3), NO_STREAM);
    const forwards = await collect(db.readAll({ fromPosition: mark }));
    assert.deepEqual(forwards[0].event.position, mark, "forwards includes its position");
    assert.deepEqual(revisions(forwards.filter((e) => e.event.streamId === stream)), [0, 1, 2]);
    const before = await collect(db.readAll({ direction: BACKWARDS, fromPosition: last, maxCount: 2 }));
    assert.deepEqual(before.map((e) => [e.event.streamId, e.event.revision]), [[stream, 1n], [stream, 0n]]);
    const end = await collect(db.readAll({ direction: BACKWARDS, fromPosition: END, maxCount: 20 }));
    assert.equal(end.length, 20);
    for (let i = 1; i < end.length; i++) assert.ok(end[i].event.position.commit < end[i - 1].event.position.commit);
    const start = await collect(db.readAll({ maxCount: 10 }));
    assert.equal(start.length, 10);
    for (let i = 1; i < start.length; i++) assert.ok(start[i].event.position.commit > start[i - 1].event.position.commit);
  },

  async "subscribe to a stream"() {
    const stream = fresh("subscribe");
    await append(stream, many(5), NO_STREAM);
    const whole = db.subscribeToStream(stream, { fromRevision: START });
    const behind = db.subscribeToStream(stream, { fromRevision: 2n });
    const live = db.subscribeToStream(stream, { fromRevision: END });
    const [w, b, l] = [listen(whole), listen(behind), listen(live)];
    assert.deepEqual(revisions(await w.take(5)), span(0, 4));
    assert.deepEqual(revisions(await b.take(2)), [3, 4]);
    await Promise.all([w.caughtUp(), b.caughtUp(), l.caughtUp()]);
    await append(stream, many(300), 4n);
    for (const s of [w, b, l]) assert.deepEqual(revisions(await s.take(300)), span(5, 304));
    await Promise.all([whole.unsubscribe(), behind.unsubscribe()]);
    await db.tombstoneStream(stream);
    assert.ok((await l.failure()) instanceof client.StreamDeletedError);
  },

  async "subscribe to $all with a filter and checkpoints"() {
    const type = fresh("type");
    const { position: mark } = await append(fresh("mark"), many(1));
    const wanted = new Set();
    let checkpoints = 0;
    let last = mark;
    const write = async () => {
      await append(fresh("noise"), many(50));
      wanted.add((await append(fresh("signal"), many(1, type))).position.commit);
    };
    for (let i = 0; i < 4; i++) await write();

    const subscription = db.subscribeToAll({
      fromPosition: mark,
      filter: client.eventTypeFilter({
        prefixes: [type],
        maxSearchWindow: 8,
        checkpointInterval: 2,
        checkpointReached: (_, position) => {
          checkpoints++;
          assert.ok(position.commit > last.commit, `checkpoint ${position.commit} after ${last.commit}`);
          last = position;
        },
      }),
    });
    const heard = listen(subscription);
    const take = async (n) => {
      for (let i = 0; i < n; i++) {
        const { event } = await heard.next();
        assert.equal(event.type, type);
        assert.ok(wanted.delete(event.position.commit), "an event twice");
      }
    };
    await take(4);
    await heard.caughtUp();
    assert.ok(checkpoints >= 4, `${checkpoints} checkpoints while catching up`);
    const before = checkpoints;
    for (let i = 0; i < 4; i++) await write();
    await take(4);
    assert.ok(checkpoints > before, "no checkpoint while live");
    assert.equal(wanted.size, 0);
    await subscription.unsubscribe();

    // From the last checkpoint on nothing comes again.
    const onward = db.subscribeToAll({ fromPosition: last, filter: client.eventTypeFilter({ prefixes: [type] }) });
    const after = listen(onward);
    await after.caughtUp();
    const { position } = await append(fresh("signal"), many(1, type));
    let next = await after.next();
    while (next.event.position.commit < position.commit) next = await after.next();
    assert.deepEqual(next.event.position, position);
    await onward.unsubscribe();
  },

  async "filters by stream, by expression and without system events"() {
    const prefix = fresh("filtered");
    const { position: mark } = await append(fresh("mark"), many(1));
    await append(`${prefix}-a`, many(2));
    await append(`${prefix}-b`, many(2));
    await db.setStreamMetadata(`${prefix}-a`, { custom: 1 });
    const streams = async (filter, n, only = "", check = () => {}) => {
      const subscription = db.subscribeToAll({ fromPosition: mark, filter });
      const list = await listen(subscription).takeOf(only, n, check);
      await subscription.unsubscribe();
      return list.map((e) => e.event.streamId.replace(prefix, ""));
    };
    assert.deepEqual(await streams(client.streamNameFilter({ prefixes: [`${prefix}-b`] }), 2), ["-b", "-b"]);
    const quoted = prefix.replaceAll("-", "\\-");
    assert.deepEqual(await streams(client.streamNameFilter({ regex: `^(\\$\\$)?${quoted}\\-a$` }), 3), ["-a", "-a", "$$-a"]);
    await append(`${prefix}-c`, many(1));
    const user = (event) => assert.ok(!event.type.startsWith("$"), event.type);
    assert.deepEqual(await streams(client.excludeSystemEvents(), 5, prefix, user), ["-a", "-a", "-b", "-b", "-c"]);
  },

  async "subscribe to $all, live"() {
    const stream = fresh("live");
    const subscription = db.subscribeToAll({ fromPosition: END });
    const heard = listen(subscription);
    await heard.caughtUp();
    await append(stream, many(100));
    assert.deepEqual(revisions(await heard.takeOf(stream, 100)), span(0, 99));
    await subscription.unsubscribe();
  },

  async "delete and recreate"() {
    const stream = fresh("delete");
    await append(stream, many(3), NO_STREAM);
    await assert.rejects(db.deleteStream(stream, { expectedRevision: 7n }), (error) => {
      assert.ok(error instanceof client.WrongExpectedVersionError, error);
      assert.equal(say.expected(error), 7n);
      assert.equal(say.actual(error), 2n);
      return true;
    });
    const { position } = await db.deleteStream(stream, { expectedRevision: 2n });
    assert.ok(position.commit > 0n);
    await assert.rejects(collect(db.readStream(stream)), (error) => error instanceof client.StreamNotFoundError);
    assert.equal((await append(stream, many(2), NO_STREAM)).nextExpectedRevision, 4n);
    assert.deepEqual(revisions(await collect(db.readStream(stream))), [3, 4]);
    const { metadata } = await db.getStreamMetadata(stream);
    assert.equal(metadata.truncateBefore, 3);
  },

  async tombstone() {
    const stream = fresh("tombstone");
    await append(stream, many(3), NO_STREAM);
    const { position } = await db.tombstoneStream(stream, { expectedRevision: 2n });
    const [{ event }] = await collect(db.readAll({ fromPosition: position, maxCount: 1 }));
    assert.equal(event.type, "$streamDeleted");
    assert.equal(event.revision, 2n ** 63n - 1n);
    for (const attempt of [
      () => append(stream, many(1)),
      () => collect(db.readStream(stream)),
      () => db.deleteStream(stream),
      () => db.tombstoneStream(stream),
    ]) {
      await assert.rejects(attempt, (error) => {
        assert.ok(error instanceof client.StreamDeletedError, error);
        return true;
      });
    }
  },

  async metadata() {
    const stream = fresh("metadata");
    await append(stream, many(10), NO_STREAM);
    assert.equal((await db.getStreamMetadata(stream)).metadata, undefined);
    const set = {
      maxCount: 4,
      maxAge: 3600,
      cacheControl: 30,
      acl: { readRoles: ["$all", "auditors"], writeRoles: ["$all"], deleteRoles: ["$admins"], metaReadRoles: ["$all"], metaWriteRoles: ["$all"] },
      owner: { name: "npm", list: [1, "two"] },
    };
    await db.setStreamMetadata(stream, set, say.expecting(NO_STREAM));
    const { metadata } = await db.getStreamMetadata(stream);
    assert.equal(metadata.maxCount, 4);
    assert.equal(metadata.maxAge, 3600);
    assert.equal(metadata.cacheControl, 30);
    assert.deepEqual(metadata.acl, set.acl);
    assert.deepEqual(metadata.owner, set.owner);
    assert.deepEqual(revisions(await collect(db.readStream(stream))), span(6, 9));
    await db.setStreamMetadata(stream, { truncateBefore: 8 });
    assert.deepEqual(revisions(await collect(db.readStream(stream))), [8, 9]);
    await assert.rejects(db.setStreamMetadata(stream, {}, say.expecting(0n)), (error) => {
      assert.ok(error instanceof client.WrongExpectedVersionError, error);
      return true;
    });
  },

  async links() {
    const [target, links] = [fresh("target"), fresh("links")];
    await append(target, many(2), NO_STREAM);
    await append(links, [
      binaryEvent({ type: "$>", data: Buffer.from(`1@${target}`) }),
      binaryEvent({ type: "$>", data: Buffer.from(`9@${target}`) }),
    ]);
    const [found, lost] = await collect(db.readStream(links, { resolveLinkTos: true }));
    assert.deepEqual([found.event.streamId, found.event.revision, found.link.streamId, found.link.revision], [target, 1n, links, 0n]);
    assert.deepEqual([lost.event, lost.link.revision], [undefined, 1n]);
  },

  async "discovery"() {
    const { host } = new URL(address.replace(/^esdb/, "http"));
    const discovering = (kurrent ? client.KurrentDBClient : client.EventStoreDBClient).connectionString(
      `esdb+discover://${host}?tls=false`,
    );
    const stream = fresh("discovered");
    await discovering.appendToStream(stream, many(1));
    assert.deepEqual(revisions(await collect(discovering.readStream(stream))), [0]);
    await discovering.dispose();
  },
};

for (const [test, run] of Object.entries(tests)) {
  try {
    await within(60, test, run());
    console.log(`ok ${test}`);
  } catch (error) {
    console.error(`not ok ${test}\n`, error);
    process.exit(1);
  }
}
await db.dispose();
process.exit(0);
