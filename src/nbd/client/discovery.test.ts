import assert from "node:assert/strict";
import { test } from "node:test";
import { encodeInfo, encodeOptionError, encodeOptionReply, encodeServer } from "../wire/option-replies.ts";
import { FLAG, OPTION, OPTION_REPLY } from "../wire/protocol.ts";
import { NbdClient } from "./client.ts";
import { haggleAsServer, MIB, plainAnswers, scripted, served } from "./testing.ts";

test("list tells names and descriptions, and with details what each export can do", async (context) => {
  const { target } = await served(context);
  assert.deepEqual(await NbdClient.list(target), [{ name: "disk", description: "a disk" }]);
  const [disk, ...others] = await NbdClient.list(target, { details: true });
  assert.deepEqual(others, []);
  assert.deepEqual([disk?.name, disk?.description, disk?.size], ["disk", "a disk", 64 * MIB]);
  assert.deepEqual([disk?.minimumBlockSize, disk?.maximumPayload, disk?.readOnly], [512, 32 * MIB, false]);
  assert.deepEqual([disk?.extended, disk?.contexts], [true, ["base:allocation"]]);
});

test("info tells of one export what a client of it knows", async (context) => {
  const place = await served(context);
  const client = await place.connect();
  assert.deepEqual(await NbdClient.info(place.target), client.info);
  await assert.rejects(NbdClient.info({ ...place.target, name: "tape" }), { code: "unknown-export" });
  const simple = await NbdClient.info(place.target, { replies: "simple" });
  assert.deepEqual([simple.structured, simple.extended], [false, false]);
  await client.close();
});

test("contexts that the export lacks are left out", async (context) => {
  const place = await served(context);
  const both = await place.connect({ metaContexts: ["qemu:dirty-bitmap:x", "base:allocation"] });
  assert.deepEqual(both.contexts, ["base:allocation"]);
  assert.deepEqual([...(await both.metaStatus(0, 512)).keys()], ["base:allocation"]);
  const none = await place.connect({ metaContexts: [] });
  assert.deepEqual([none.contexts, none.canBlockStatus], [[], false]);
  await assert.rejects(none.metaStatus(0, 512), { code: "bad-request" });
  await Promise.all([both.close(), none.close()]);
});

test("a server that knows EXPORT_NAME alone is asked so", async (context) => {
  const target = await scripted(context, (socket) => {
    haggleAsServer(socket, (option) => {
      if (option !== OPTION.EXPORT_NAME) return encodeOptionReply(option, OPTION_REPLY.ERR_UNSUP);
      const reply = Buffer.alloc(10);
      reply.writeBigUInt64BE(BigInt(MIB));
      reply.writeUInt16BE(FLAG.HAS_FLAGS | FLAG.READ_ONLY, 8);
      return reply;
    });
  });
  const client = await NbdClient.connect(target);
  assert.deepEqual([client.size, client.readOnly, client.structured], [MIB, true, false]);
  client.destroy();
});

test("each refusal has its code, and the server's words in one line", async (context) => {
  const cases = [
    [OPTION_REPLY.ERR_UNKNOWN, "unknown-export"],
    [OPTION_REPLY.ERR_POLICY, "refused-export"],
    [OPTION_REPLY.ERR_SHUTDOWN, "refused-export"],
    [OPTION_REPLY.ERR_TLS_REQD, "tls-required"],
  ] as const;
  for (const [type, code] of cases) {
    const target = await scripted(context, (socket) => {
      haggleAsServer(socket, (option) => encodeOptionError(option, type, "not\nso"));
    });
    await assert.rejects(NbdClient.connect(target), (error: Error & { code: string }) => {
      assert.equal(error.code, code);
      assert.match(error.message, /the server answered ERR_\w+, "not\\nso", success was wanted$/);
      return true;
    });
  }
});

test("a server that breaks the rules of the handshake is a bad one", async (context) => {
  const ack = (option: number) => encodeOptionReply(option, OPTION_REPLY.ACK);
  const info = (option: number, blockSizes: readonly [number, number, number]) => {
    const [minimum, preferred, maximum] = blockSizes;
    return Buffer.concat([
      encodeInfo(option, { kind: "export", size: MIB, flags: FLAG.HAS_FLAGS }),
      encodeInfo(option, { kind: "blockSize", minimum, preferred, maximum }),
      ack(option),
    ]);
  };
  const cases: [string, (option: number) => Uint8Array | undefined][] = [
    ["a reply to another option", () => encodeOptionReply(77, OPTION_REPLY.ACK)],
    ["no size", (option) => (option === OPTION.GO ? ack(option) : plainAnswers(option))],
    [
      "extended headers without GO",
      (option) =>
        option === OPTION.EXTENDED_HEADERS ? ack(option) : encodeOptionReply(option, OPTION_REPLY.ERR_UNSUP),
    ],
    ["blocks of no bytes", (option) => (option === OPTION.GO ? info(option, [0, 4096, MIB]) : plainAnswers(option))],
    ["blocks of 100 bytes", (option) => (option === OPTION.GO ? info(option, [100, 4096, MIB]) : plainAnswers(option))],
    [
      "less than a block at most",
      (option) => (option === OPTION.GO ? info(option, [4096, 4096, 512]) : plainAnswers(option)),
    ],
    [
      "a malformed info",
      (option) =>
        option === OPTION.GO
          ? Buffer.concat([encodeOptionReply(option, OPTION_REPLY.INFO, new Uint8Array(1)), ack(option)])
          : plainAnswers(option),
    ],
  ];
  for (const [what, answers] of cases) {
    const target = await scripted(context, (socket) => haggleAsServer(socket, answers));
    await assert.rejects(NbdClient.connect(target), { code: "bad-server" }, what);
  }
});

test("garbage and an old greeting are bad servers, one that goes away is a lost connection", async (context) => {
  const garbage = await scripted(context, (socket) => socket.write(Buffer.alloc(4096, "garbage ")));
  await assert.rejects(NbdClient.connect(garbage), { code: "bad-server" });
  const old = await scripted(context, (socket) =>
    socket.write(Buffer.concat([Buffer.from("NBDMAGIC"), Buffer.alloc(200)])),
  );
  await assert.rejects(NbdClient.connect(old), { code: "bad-server" });
  const gone = await scripted(context, (socket) => socket.end("NBDMAGICIHAVE"));
  await assert.rejects(NbdClient.connect(gone), { code: "disconnected" });
  await assert.rejects(NbdClient.connect("http://localhost/"), { code: "bad-uri" });
});

test("a list that never ends is cut off", async (context) => {
  const target = await scripted(context, (socket) => {
    haggleAsServer(socket, (option) => {
      if (option !== OPTION.LIST) return plainAnswers(option);
      const some = Buffer.concat(Array.from({ length: 1000 }, () => encodeServer(option, "x".repeat(4000), "")));
      const more = () => {
        while (!socket.destroyed && socket.write(some));
      };
      socket.on("drain", more);
      more();
      return undefined;
    });
  });
  await assert.rejects(NbdClient.list(target), { code: "bad-server", message: /never ends/ });
});

test("an export of more bytes than numbers tell apart is refused, and can be told of", async (context) => {
  const target = await scripted(context, (socket) => {
    haggleAsServer(socket, (option) => {
      if (option !== OPTION.GO && option !== OPTION.INFO) return plainAnswers(option);
      const info = encodeInfo(option, { kind: "export", size: 2 ** 62, flags: FLAG.HAS_FLAGS });
      return Buffer.concat([info, encodeOptionReply(option, OPTION_REPLY.ACK)]);
    });
  });
  await assert.rejects(NbdClient.connect(target), { code: "refused-export" });
  assert.equal((await NbdClient.info(target)).size, 2 ** 62);
});
