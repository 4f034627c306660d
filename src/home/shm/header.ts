import { checksum } from "../../shadow/checksum.ts";
import type { Cells } from "./cells.ts";
import {
  damaged,
  ENTRIES,
  ENTRY_BYTES,
  HEADER_CHECKSUM,
  HEADER_ENTRIES,
  HEADER_SHAPE,
  HEADER_SHAPE_LENGTH,
  HEADER_VERSION,
  MAGIC,
  mismatched,
  STORES,
  VERSION,
} from "./format.ts";

/** What never changes in a ledger. */
export interface Header {
  readonly entries: number;
  /** How the memory of writes is divided, in words: addresses mean nothing in memory of another shape. */
  readonly shape: string;
}

/** `cells`: zeroes, of {@link ENTRIES} bytes and the entries. */
export function writeHeader(cells: Cells, { entries, shape }: Header): void {
  const shapeBytes = Buffer.from(shape);
  cells.setBytes(0, Buffer.from(MAGIC));
  cells.setWord(HEADER_VERSION, VERSION);
  cells.setWord(HEADER_ENTRIES, entries);
  cells.setWord(HEADER_SHAPE_LENGTH, shapeBytes.byteLength);
  cells.setBytes(HEADER_SHAPE, shapeBytes);
  cells.setWord(HEADER_CHECKSUM, headerChecksum(cells, shapeBytes.byteLength));
}

/** Throws a {@link SkinkError} if this is no whole ledger of this version. */
export function readHeader(cells: Cells): Header {
  const { bytes } = cells;
  if (bytes.byteLength < ENTRIES)
    throw damaged(`the ledger has ${bytes.byteLength} bytes, at least ${ENTRIES} were wanted`);
  if (text(bytes, 0, MAGIC.length) !== MAGIC) throw damaged("its memory holds no ledger");
  const version = cells.word(HEADER_VERSION);
  if (version !== VERSION) throw mismatched(`the ledger's version is ${version}, ${VERSION} was wanted`);
  const shapeLength = cells.word(HEADER_SHAPE_LENGTH);
  const fits = shapeLength >= 0 && shapeLength <= STORES - HEADER_SHAPE;
  if (!fits || headerChecksum(cells, shapeLength) !== cells.word(HEADER_CHECKSUM))
    throw damaged("the ledger's header is not what was written");
  const entries = cells.word(HEADER_ENTRIES);
  const wanted = ENTRIES + entries * ENTRY_BYTES;
  if (bytes.byteLength < wanted) throw damaged(`the ledger has ${bytes.byteLength} bytes, ${wanted} were wanted`);
  return { entries, shape: text(bytes, HEADER_SHAPE, shapeLength) };
}

function headerChecksum({ bytes }: Cells, shapeLength: number): number {
  return checksum(bytes.subarray(HEADER_ENTRIES, HEADER_SHAPE + shapeLength)) | 0;
}

function text(bytes: Uint8Array, from: number, length: number): string {
  return Buffer.from(bytes.subarray(from, from + length)).toString();
}
