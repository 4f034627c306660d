import { encodeClientFlags } from "./greeting.ts";
import { encodeInfoRequest, encodeOption } from "./options.ts";
import { COMMAND, OPTION } from "./protocol.ts";
import { encodeRequest, REQUEST_BYTES } from "./requests.ts";

/** What a client sends that chooses "disk" and reads `count` times `length` bytes from the start. */
export function conversation(count: number, length: number): Buffer {
  const requests = Buffer.alloc(count * REQUEST_BYTES);
  const view = new DataView(requests.buffer, requests.byteOffset, requests.byteLength);
  for (let index = 0; index < count; index++) {
    const header = { type: COMMAND.READ, flags: 0, cookieHigh: 0, cookieLow: index, offset: 0, length };
    encodeRequest(view, index * REQUEST_BYTES, header);
  }
  return Buffer.concat([
    encodeClientFlags({ fixedNewstyle: true, noZeroes: true }),
    encodeOption(OPTION.GO, encodeInfoRequest({ name: "disk", wanted: [] })),
    requests,
  ]);
}
