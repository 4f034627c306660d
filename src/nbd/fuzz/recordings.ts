import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { COMMAND, OPTION, REQUEST_MAGIC } from "../wire/protocol.ts";
import {
  type Asked,
  ByteReader,
  FLAGS_BYTES,
  type Gap,
  type Option,
  readOption,
  readRequest,
} from "./client-reader.ts";
import type { Messages } from "./sessions.ts";

const FOLDER = fileURLToPath(new URL("recordings", import.meta.url));

const COOKIE_AT = 8;

export interface Recording {
  /** The program that was recorded. */
  readonly name: string;
  readonly messages: Messages;
}

/**
 * What real clients have sent to a server with a disk of 64 KiB called "disk", one connection a file: everything that
 * they can do, in little. All with compact headers.
 */
export const recordings: readonly Recording[] = readdirSync(FOLDER)
  .sort()
  .map((file) => ({ name: file.replace(/\.client$/, ""), messages: split(readFileSync(`${FOLDER}/${file}`)) }));

/** The messages with the cookies 1, 2, 3, …: some clients have pointers there, which a client of ours couldn't tell apart. */
export function counted(messages: Messages): Messages {
  return messages.map((message, index) => {
    if (message.length < FLAGS_BYTES || message.readUInt32BE() !== REQUEST_MAGIC) return message;
    const copy = Buffer.from(message);
    copy.writeBigUInt64BE(BigInt(index), COOKIE_AT);
    return copy;
  });
}

/** Cuts at the borders of messages. */
function split(bytes: Buffer): Messages {
  const reader = new ByteReader(bytes);
  const messages: Buffer[] = [reader.take(FLAGS_BYTES)];
  let inHandshake = true;
  while (reader.left > 0) {
    const start = reader.at;
    const next: Option | Asked | Gap = inHandshake ? readOption(reader) : readRequest(reader, false);
    if (typeof next === "string") throw new Error(`the recording is ${next} at byte ${start}`);
    messages.push(bytes.subarray(start, reader.at));
    if ("number" in next) inHandshake = next.number !== OPTION.GO && next.number !== OPTION.EXPORT_NAME;
    else if (next.type === COMMAND.DISC) break;
  }
  return messages;
}
