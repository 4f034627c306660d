import { NbdClient } from "skink/nbd";

/** What is never torn. */
const SECTOR_BYTES = 512;
/** Key and value, as JSON. */
const RECORD_BYTES = 2048;
const FIRST_RECORD = 4096;
const LENGTH_BYTES = 4;

/**
 * A small key-value store directly on a disk, without a file system:
 *
 *     0          the number of records that count, 4 bytes little-endian: written last, one sector, so never torn
 *     4096       record │ record │ …    each 2048 bytes: a length, 4 bytes, and JSON of [key, value]
 *
 * A record has to be durable before it counts. `wrongOrder` writes both and flushes then: a disk writes its cache in any order.
 */
export class RawStore {
  readonly #disk: NbdClient;
  readonly #wrongOrder: boolean;
  readonly #values = new Map<string, string>();
  #count = 0;

  private constructor(disk: NbdClient, wrongOrder: boolean) {
    this.#disk = disk;
    this.#wrongOrder = wrongOrder;
  }

  /** On the disk with this NBD URI. Rejects where a record can't be read. */
  static async open(uri: string, wrongOrder = false): Promise<RawStore> {
    const store = new RawStore(await NbdClient.connect(uri), wrongOrder);
    try {
      await store.#load();
    } catch (error) {
      await store.close();
      throw error;
    }
    return store;
  }

  get(key: string): string | undefined {
    return this.#values.get(key);
  }

  /** When it resolves, the value is durable. */
  async put(key: string, value: string): Promise<void> {
    const record = Buffer.alloc(RECORD_BYTES);
    const length = record.write(JSON.stringify([key, value]), LENGTH_BYTES);
    record.writeUInt32LE(length);
    await this.#disk.write(FIRST_RECORD + this.#count * RECORD_BYTES, record);
    if (!this.#wrongOrder) await this.#disk.flush();
    const head = Buffer.alloc(SECTOR_BYTES);
    head.writeUInt32LE(this.#count + 1);
    await this.#disk.write(0, head);
    await this.#disk.flush();
    this.#count++;
    this.#values.set(key, value);
  }

  async close(): Promise<void> {
    await this.#disk.close();
  }

  async #load(): Promise<void> {
    this.#count = (await this.#read(0, SECTOR_BYTES)).readUInt32LE();
    for (let number = 0; number < this.#count; number++) {
      const record = await this.#read(FIRST_RECORD + number * RECORD_BYTES, RECORD_BYTES);
      const length = record.readUInt32LE();
      const [key, value] = JSON.parse(record.toString("utf8", LENGTH_BYTES, LENGTH_BYTES + length));
      this.#values.set(key, value);
    }
  }

  async #read(offset: number, length: number): Promise<Buffer> {
    return Buffer.from(await this.#disk.read(offset, length));
  }
}
