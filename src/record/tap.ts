import type { Geometry } from "../block/geometry.ts";
import type { Tap } from "../front/tap.ts";
import type { BlockDevice, Link } from "../shadow/ports.ts";
import { createLogFile, type LogFile } from "./log-file.ts";
import { epochMark } from "./own-marks.ts";
import { RecordedDevice, type Room } from "./recorded-device.ts";
import { RecordedLink } from "./recorded-link.ts";
import { Recording } from "./recording.ts";

/** Where to record to. */
export interface RecordingFiles {
  /** What clients were answered. */
  readonly log: string;
  /** What each driver answered; not recorded if left out. */
  readonly driverLog: string | undefined;
  /** Whether files that are there are replaced. */
  readonly force: boolean;
}

/** Records a device of a front, at its clients' side and, if wanted, at its drivers'. */
export class RecordingTap implements Tap {
  readonly #clients: Side;
  readonly #drivers: Side | undefined;
  #link: RecordedLink | undefined;

  private constructor(clients: Side, drivers: Side | undefined) {
    this.#clients = clients;
    this.#drivers = drivers;
  }

  /**
   * Makes the files; those that are to be replaced stay as they are until something is recorded. `failed`: takes one line if a log
   * ends before its time. Rejects with `log-file`. To be closed.
   */
  static async create(
    { log, driverLog, force }: RecordingFiles,
    failed: (line: string) => void,
  ): Promise<RecordingTap> {
    const clients = new Side(await createLogFile(log, force), log, failed);
    try {
      const drivers =
        driverLog === undefined ? undefined : new Side(await createLogFile(driverLog, force), driverLog, failed);
      return new RecordingTap(clients, drivers);
    } catch (error) {
      await clients.close();
      throw error;
    }
  }

  /** Why a log ended before its time. */
  get failure(): string | undefined {
    return this.#clients.recording?.failure ?? this.#drivers?.recording?.failure;
  }

  clients(device: BlockDevice): BlockDevice {
    const recording = this.#clients.of(device.geometry);
    return new RecordedDevice(device, recording, roomOf([recording, this.#drivers?.recording]));
  }

  opened(link: Link, geometry: Geometry, writes: Uint8Array): Link {
    const recording = this.#drivers?.of(geometry);
    if (recording === undefined) return link;
    recording.ownMark(epochMark(link.epoch));
    this.#link = new RecordedLink(link, recording, writes);
    return this.#link;
  }

  completed(epoch: number, tag: number, errno: number, count: number): void {
    if (this.#link?.epoch === epoch) this.#link.completed(tag, errno, count);
  }

  async mark(text: string): Promise<void> {
    await Promise.all([this.#clients.recording?.mark(text), this.#drivers?.recording?.mark(text)]);
  }

  /** After the front's end. Resolves when the files have everything. */
  async close(): Promise<void> {
    await Promise.all([this.#clients.close(), this.#drivers?.close()]);
  }
}

/** A log, and its recording once the device is known. */
class Side {
  recording: Recording | undefined;
  readonly #file: LogFile;
  readonly #path: string;
  readonly #failed: (line: string) => void;

  constructor(file: LogFile, path: string, failed: (line: string) => void) {
    this.#file = file;
    this.#path = path;
    this.#failed = failed;
  }

  of(geometry: Geometry): Recording {
    this.recording ??= new Recording(this.#file, this.#path, geometry.blockSize, this.#failed);
    this.recording.device(geometry);
    return this.recording;
  }

  /** Of a device that has never opened nothing is left, and a log that it was to replace stays. */
  async close(): Promise<void> {
    if (this.recording !== undefined) await this.recording.close();
    else await this.#file.abandon();
  }
}

/** Of several logs together: the fullest decides. */
function roomOf(recordings: readonly (Recording | undefined)[]): Room {
  const full = (): Recording | undefined => recordings.find((recording) => recording?.full);
  return {
    get full() {
      return full() !== undefined;
    },
    whenRoom: (callback) => full()?.whenRoom(callback) ?? (() => {}),
  };
}
