import { SkinkError } from "../../block/errors.ts";

/*
 * A ledger: the table of a device's pieces, beside the memory of writes, where their data is. All numbers are the machine's own;
 * they never leave it.
 *
 *   0        4 KiB         20 KiB        36 KiB
 *   | header | known store | known store | entry | entry | entry | …
 *
 *   header       0  "SKINKSHM"
 *                8  version
 *               12  checksum of what follows      CRC32C
 *               16  entries that there are
 *               20  length of the shape, in bytes
 *               24  shape of the memory of writes  UTF-8; the rest of the 4 KiB means nothing
 *
 *   known store  0  commit word                    LIVE; 0 while it is being written, or never was
 *                4  checksum of what follows       CRC32C
 *                8  sequence                       float64; the higher one counts
 *               16  length, in bytes
 *               20  KnownStore                     JSON; the rest of the 16 KiB means nothing
 *
 *   entry        0  sequence                       float64; of the put, higher ones are newer
 *                8  offset on the device, bytes    float64
 *               16  length, bytes                  float64
 *               24  address of its data            float64; in the memory of writes; 0 for zero and trim
 *               32  kind, flags
 *               36  checksum of what is before     see Ledger; knows the entry's place, too
 *               40  commit word                    LIVE, or 0 where it is free; the rest of the 64 bytes means nothing
 *
 * Whatever is between two commit words is stored while the first is 0, and the commit word last; it is cleared first. So what is
 * committed is whole at any instant, and anything else in a commit word, or a checksum that is wrong under it, is damage. A
 * change of one byte is always found, or means nothing. What can't be found is the loss of a commit word, or of an entry, as a
 * whole; and the data has no checksums.
 */

export const MAGIC = "SKINKSHM";
export const VERSION = 1;

export const HEADER_VERSION = 8;
export const HEADER_CHECKSUM = 12;
export const HEADER_ENTRIES = 16;
export const HEADER_SHAPE_LENGTH = 20;
export const HEADER_SHAPE = 24;

export const STORES = 4096;
export const STORE_BYTES = 16 << 10;

export const ENTRIES = STORES + 2 * STORE_BYTES;
export const ENTRY_BYTES = 64;

/** Of an entry and of a known store, with no byte of it 0: no change of one byte makes it a free one. */
export const LIVE = 0x5b1e_c0de;

/** What stands in a ledger is not what was written there. `what`: "entry 3 …". */
export function damaged(what: string): SkinkError {
  return new SkinkError("ledger-damaged", `Cannot take up the shadow: ${what}`);
}

/** The ledger is well, and another one than this front can use. */
export function mismatched(what: string): SkinkError {
  return new SkinkError("ledger-mismatch", `Cannot take up the shadow: ${what}`);
}
