import assert from "node:assert/strict";
import { test } from "node:test";
import { decodeClientFlags, decodeGreeting, encodeClientFlags, encodeGreeting } from "./greeting.ts";
import {
  decodeExportNameReply,
  decodeInfo,
  decodeMetaContext,
  decodeOptionReplyHeader,
  decodeServer,
  encodeExportNameReply,
  encodeInfo,
  encodeMetaContext,
  encodeOptionError,
  encodeOptionReply,
  encodeServer,
} from "./option-replies.ts";
import {
  decodeInfoRequest,
  decodeMetaContextRequest,
  decodeOptionHeader,
  encodeInfoRequest,
  encodeMetaContextRequest,
  encodeOption,
} from "./options.ts";
import { COMMAND, COMMAND_FLAG, OPTION, OPTION_REPLY } from "./protocol.ts";
import {
  EXTENDED,
  encodeDataChunk,
  encodeErrorChunk,
  encodeHoleChunk,
  encodeNoneChunk,
  encodeSimpleReply,
  encodeStatusChunk,
  STRUCTURED,
} from "./replies.ts";
import {
  decodeExtendedRequest,
  decodeRequest,
  decodeStatusQuery,
  encodeExtendedRequest,
  encodeRequest,
  encodeStatusQuery,
  newRequestHeader,
} from "./requests.ts";
import { decodeString } from "./strings.ts";
import { viewOf } from "./view.ts";

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");
const bytesOf = (text: string) => new Uint8Array(Buffer.from(text.replaceAll(" ", ""), "hex"));

test("the greeting has its golden bytes", () => {
  assert.equal(hex(encodeGreeting()), "4e42444d41474943" + "49484156454f5054" + "0003");
  assert.equal(decodeGreeting(viewOf(encodeGreeting())), 3);
  assert.equal(decodeGreeting(viewOf(new Uint8Array(18))), undefined);
});

test("the client's flags have their golden bytes, and an unknown one is told", () => {
  assert.equal(hex(encodeClientFlags({ fixedNewstyle: true, noZeroes: true })), "00000003");
  assert.deepEqual(decodeClientFlags(1), { fixedNewstyle: true, noZeroes: false });
  assert.equal(decodeClientFlags(4), undefined);
  assert.equal(decodeClientFlags(0x8000_0000), undefined);
});

test("an option has its golden bytes", () => {
  const bytes = encodeOption(OPTION.EXPORT_NAME, Buffer.from("ab"));
  assert.equal(hex(bytes), "49484156454f5054" + "00000001" + "00000002" + "6162");
  assert.deepEqual(decodeOptionHeader(viewOf(bytes), 0), { option: 1, length: 2 });
  assert.equal(decodeOptionHeader(viewOf(new Uint8Array(16)), 0), undefined);
});

test("a request for information has its golden bytes", () => {
  const bytes = encodeInfoRequest({ name: "ab", wanted: [3, 1] });
  assert.equal(hex(bytes), "00000002" + "6162" + "0002" + "0003" + "0001");
  assert.deepEqual(decodeInfoRequest(bytes), { name: "ab", wanted: [3, 1] });
});

test("a request for information with a malformed length is told from one without", () => {
  for (const text of [
    "",
    "000000",
    "00000001 0000",
    "ffffffff 0000",
    "00000000 0001",
    "00000000 0000 00",
    "00000001 00 0000",
  ])
    assert.equal(decodeInfoRequest(bytesOf(text)), undefined, text);
});

test("a request for contexts has its golden bytes", () => {
  const bytes = encodeMetaContextRequest({ name: "d", queries: ["base:", "x"] });
  assert.equal(hex(bytes), `${"00000001" + "64" + "00000002" + "00000005"}626173653a${"00000001" + "78"}`);
  assert.deepEqual(decodeMetaContextRequest(bytes), { name: "d", queries: ["base:", "x"] });
});

test("a request for contexts with a malformed length is told from one without", () => {
  for (const text of [
    "",
    "00000000",
    "00000000 00000001",
    "00000000 00000001 00000001",
    "00000000 00000000 00",
    "00000000 ffffffff",
  ])
    assert.equal(decodeMetaContextRequest(bytesOf(text)), undefined, text);
});

test("a string is UTF-8 without NUL of at most 4096 bytes", () => {
  assert.equal(decodeString(Buffer.from("é")), "é");
  assert.equal(decodeString(new Uint8Array(4096).fill(97))?.length, 4096);
  assert.equal(decodeString(new Uint8Array(4097).fill(97)), undefined);
  assert.equal(decodeString(bytesOf("6100")), undefined);
  assert.equal(decodeString(bytesOf("ff")), undefined);
});

test("a reply to an option has its golden bytes", () => {
  const bytes = encodeOptionReply(OPTION.GO, OPTION_REPLY.ACK);
  assert.equal(hex(bytes), "0003e889045565a9" + "00000007" + "00000001" + "00000000");
  assert.deepEqual(decodeOptionReplyHeader(viewOf(bytes)), { option: 7, type: 1, length: 0 });
  assert.equal(
    hex(encodeOptionError(5, OPTION_REPLY.ERR_UNSUP, "no").subarray(8)),
    "00000005" + "80000001" + "00000002" + "6e6f",
  );
});

test("a listed export has its golden bytes", () => {
  const data = encodeServer(OPTION.LIST, "é", "x").subarray(20);
  assert.equal(hex(data), "00000002" + "c3a9" + "78");
  assert.deepEqual(decodeServer(data), { name: "é", description: "x" });
  assert.equal(decodeServer(bytesOf("00000002 61")), undefined);
});

test("a context has its golden bytes", () => {
  const data = encodeMetaContext(OPTION.SET_META_CONTEXT, 1, "base:allocation").subarray(20);
  assert.equal(hex(data), "00000001" + "626173653a616c6c6f636174696f6e");
  assert.deepEqual(decodeMetaContext(data), { id: 1, name: "base:allocation" });
});

test("each piece of information has its golden bytes", () => {
  const cases = [
    [{ kind: "export", size: 0x1_0000_0200, flags: 0x0d6d }, "0000" + "0000000100000200" + "0d6d"],
    [{ kind: "name", text: "ab" }, "0001" + "6162"],
    [{ kind: "description", text: "c" }, "0002" + "63"],
    [
      { kind: "blockSize", minimum: 512, preferred: 4096, maximum: 32 << 20 },
      "0003" + "00000200" + "00001000" + "02000000",
    ],
  ] as const;
  for (const [info, golden] of cases) {
    const data = encodeInfo(OPTION.GO, info).subarray(20);
    assert.equal(hex(data), golden);
    assert.deepEqual(decodeInfo(data), info);
  }
  assert.equal(decodeInfo(bytesOf("0009 00")), "unknown");
  assert.equal(decodeInfo(bytesOf("0000 00")), undefined);
});

test("the reply to EXPORT_NAME has its golden bytes, with zeroes unless they were waived", () => {
  const bytes = encodeExportNameReply(4096, 1, true);
  assert.equal(hex(bytes), "0000000000001000" + "0001");
  assert.deepEqual(decodeExportNameReply(viewOf(bytes), 0), { size: 4096, flags: 1 });
  assert.equal(encodeExportNameReply(4096, 1, false).length, 134);
});

test("a request has its golden bytes", () => {
  const bytes = new Uint8Array(28);
  const header = {
    flags: COMMAND_FLAG.FUA,
    type: COMMAND.WRITE,
    cookieHigh: 0x01020304,
    cookieLow: 0xf5060708,
    offset: 0x2_8000_0200,
    length: 4096,
  };
  encodeRequest(viewOf(bytes), 0, header);
  assert.equal(hex(bytes), "25609513" + "0001" + "0001" + "01020304f5060708" + "0000000280000200" + "00001000");
  const decoded = newRequestHeader();
  assert.equal(decodeRequest(viewOf(bytes), 0, decoded), true);
  assert.deepEqual(decoded, { ...header, offsetHigh: 2, offsetLow: 0x8000_0200 });
  assert.equal(decodeRequest(viewOf(new Uint8Array(28)), 0, decoded), false);
});

test("an extended request has its golden bytes, and its offset comes out to the bit", () => {
  const bytes = new Uint8Array(32);
  const header = {
    flags: COMMAND_FLAG.PAYLOAD_LEN,
    type: COMMAND.WRITE,
    cookieHigh: 0x01020304,
    cookieLow: 0xf5060708,
    offset: 0x2_8000_0200,
    length: 0x1_0000_1000,
  };
  encodeExtendedRequest(viewOf(bytes), 0, header);
  assert.equal(hex(bytes), "21e41c71" + "0020" + "0001" + "01020304f5060708" + "0000000280000200" + "0000000100001000");
  const decoded = newRequestHeader();
  assert.equal(decodeExtendedRequest(viewOf(bytes), 0, decoded), true);
  assert.deepEqual(decoded, { ...header, offsetHigh: 2, offsetLow: 0x8000_0200 });
  bytes.fill(0xff, 16);
  assert.equal(decodeExtendedRequest(viewOf(bytes), 0, decoded), true);
  assert.deepEqual([decoded.offset, decoded.length], [2 ** 64, 2 ** 64]);
  assert.deepEqual([decoded.offsetHigh, decoded.offsetLow], [0xffff_ffff, 0xffff_ffff]);
  assert.equal(decodeExtendedRequest(viewOf(new Uint8Array(32)), 0, decoded), false);
});

test("the query of a block status has its golden bytes", () => {
  const bytes = encodeStatusQuery({ length: 0x1_0000_0000, contexts: [1, 7] });
  assert.equal(hex(bytes), "0000000100000000" + "00000001" + "00000007");
  assert.deepEqual(decodeStatusQuery(bytes), { length: 0x1_0000_0000, contexts: [1, 7] });
  assert.deepEqual(decodeStatusQuery(bytes.subarray(0, 8)), { length: 0x1_0000_0000, contexts: [] });
  for (const length of [0, 4, 7, 9, 15]) assert.equal(decodeStatusQuery(bytes.subarray(0, length)), undefined);
});

const to = { cookieHigh: 0x01020304, cookieLow: 0xf5060708, offsetHigh: 0xffff_ffff, offsetLow: 0x0000_0200 };

function encoded(length: number, encode: (view: DataView) => void): string {
  const scratch = new Uint8Array(length);
  encode(viewOf(scratch));
  return hex(scratch);
}

test("the replies have their golden bytes", () => {
  assert.equal(
    encoded(16, (view) => encodeSimpleReply(view, to, 5)),
    "67446698" + "00000005" + "01020304f5060708",
  );
  assert.equal(
    encoded(20, (view) => encodeNoneChunk(view, STRUCTURED, to)),
    "668e33ef" + "0001" + "0000" + "01020304f5060708" + "00000000",
  );
  assert.equal(
    encoded(28, (view) => encodeDataChunk(view, STRUCTURED, to, false, 0x1_0000_0000, 512)),
    "668e33ef" + "0000" + "0001" + "01020304f5060708" + "00000208" + "0000000100000000",
  );
  assert.equal(
    encoded(32, (view) => encodeHoleChunk(view, STRUCTURED, to, true, 512, 65536)),
    "668e33ef" + "0001" + "0002" + "01020304f5060708" + "0000000c" + "0000000000000200" + "00010000",
  );
  assert.equal(
    encoded(26, (view) => encodeErrorChunk(view, STRUCTURED, to, 5)),
    "668e33ef" + "0001" + "8001" + "01020304f5060708" + "00000006" + "00000005" + "0000",
  );
});

test("with extended headers, chunks have their golden bytes, and echo the request's offset to the bit", () => {
  const header = (flags: string, type: string, length: string) =>
    `6e8a278c${flags}${type}${"01020304f5060708"}${"ffffffff00000200"}${length}`;
  assert.equal(
    encoded(32, (view) => encodeNoneChunk(view, EXTENDED, to)),
    header("0001", "0000", "0000000000000000"),
  );
  assert.equal(
    encoded(40, (view) => encodeDataChunk(view, EXTENDED, to, false, 0x1_0000_0000, 512)),
    `${header("0000", "0001", "0000000000000208")}0000000100000000`,
  );
  assert.equal(
    encoded(44, (view) => encodeHoleChunk(view, EXTENDED, to, true, 512, 65536)),
    `${header("0001", "0002", "000000000000000c")}${"0000000000000200"}00010000`,
  );
  assert.equal(
    encoded(38, (view) => encodeErrorChunk(view, EXTENDED, to, 5)),
    `${header("0001", "8001", "0000000000000006")}${"00000005"}0000`,
  );
});

const extents = [
  { length: 512, hole: false, zero: false },
  { length: 1024, hole: true, zero: true },
];

test("a block status has its golden bytes, and extents longer than 32 bits come in parts", () => {
  const body = "00000001" + "00000200" + "00000000" + "00000400" + "00000003";
  assert.equal(
    hex(encodeStatusChunk(STRUCTURED, to, 1, extents, false)),
    `${"668e33ef" + "0001" + "0005" + "01020304f5060708" + "00000014"}${body}`,
  );
  assert.equal(encodeStatusChunk(STRUCTURED, to, 1, extents, true).length, 32);
  const long = encodeStatusChunk(STRUCTURED, to, 1, [{ length: 2 ** 33, hole: false, zero: true }], false);
  assert.equal(hex(long.subarray(24)), "ffff0000" + "00000002" + "ffff0000" + "00000002" + "00020000" + "00000002");
});

test("with extended headers, a block status has its golden bytes, and extents come whole", () => {
  const long = [...extents, { length: 2 ** 33 + 512, hole: false, zero: true }];
  const golden = [
    "6e8a278c 0001 0006 01020304f5060708 ffffffff00000200 0000000000000038",
    "00000001 00000003",
    "0000000000000200 0000000000000000",
    "0000000000000400 0000000000000003",
    "0000000200000200 0000000000000002",
  ].join("");
  assert.equal(hex(encodeStatusChunk(EXTENDED, to, 1, long, false)), golden.replaceAll(" ", ""));
  assert.equal(encodeStatusChunk(EXTENDED, to, 1, long, true).length, 56);
});

test("rule 21: no more than 2^20 extents go out", () => {
  const many = Array.from({ length: 2 ** 20 + 1 }, (_, index) => ({ length: 512, hole: index % 2 === 0, zero: false }));
  assert.equal(encodeStatusChunk(STRUCTURED, to, 1, many, false).length, 24 + 8 * 2 ** 20);
  assert.equal(encodeStatusChunk(EXTENDED, to, 1, many, false).length, 40 + 16 * 2 ** 20);
});
